import type { Request, RequestHandler } from 'express';
import { z } from 'zod';
import type { ApiKeys } from '../../accounts/api-keys.ts';
import type { Pool } from '../../db/postgres.ts';
import { readStatement, TRANSFER_KINDS } from '../../ledger/statement.ts';
import { readStatementDays } from '../../ledger/statement-days.ts';
import { keyNames } from '../../records/key-names.ts';
import { statementCsv } from '../../records/statement-csv.ts';
import { decodeCursor, encodeCursor } from '../api/cursor.ts';
import { readQuery } from '../api/report-queries.ts';
import { sessionOf } from './signed-in.ts';
import type { ConsoleFrame } from './console-frame.ts';
import { sendCsv } from './csv-answer.ts';

export interface StatementPageDeps {
  pool: Pool;
  apiKeys: Pick<ApiKeys, 'named'>;
  frame: ConsoleFrame;
}

const ROWS = 50;
const MOST_CSV = 100_000;
const LONGEST_DAYS = 92;
const DAY_MS = 86_400_000;
const POSITION = [/^\d{1,19}$/];
const PAGE = '/console/statement';

const orNothing = <T extends z.ZodType>(schema: T) => z.preprocess((value) => (value === '' ? undefined : value), schema.optional());

export const statementQuery = z
  .object({
    kind: orNothing(z.enum(TRANSFER_KINDS)),
    from: orNothing(z.iso.date()),
    to: orNothing(z.iso.date()),
    cursor: z.string().optional(),
  })
  .refine(({ from, to }) => from === undefined || to === undefined || from <= to, {
    message: 'must not be before the first day',
    path: ['to'],
  });

const WORDS = { deposit: 'Top-up', charge: 'Request', refund: 'Given back', withdrawal: 'Withdrawal', adjustment: 'Adjustment' };
const VIA: Readonly<Record<string, string>> = {
  invoice: 'by an invoice',
  l402: 'by an invoice of a 402',
  address: 'to the Lightning Address',
  autopay: 'by autopay',
  lnurl: 'by a code',
};

/** The handlers of the Statement: each movement of the balance to the msat, and the same as CSV. */
export function statementHandlers({ pool, apiKeys, frame }: StatementPageDeps): Record<'page' | 'csv', RequestHandler> {
  return {
    async page(req, res) {
      const { accountId } = sessionOf(res);
      const { kind, from, to, cursor } = readQuery(statementQuery, req.query);
      const [before] = decodeCursor(cursor, POSITION) ?? [];
      const period = periodOf(from, to);
      const filter = { accountId, keyId: null, kind, ...period };
      const lines = await readStatement(pool, { ...filter, before: before === undefined ? null : BigInt(before), limit: ROWS + 1 });
      const days = await readStatementDays(pool, accountId, period.from, period.to);
      const shown = lines.slice(0, ROWS);
      const last = lines.length > ROWS ? shown.at(-1) : undefined;
      const names = await keyNames(apiKeys, accountId)(shown.map(({ keyId }) => keyId));
      const data = {
        kind,
        kinds: TRANSFER_KINDS,
        from: period.from.toISOString().slice(0, 10),
        to: new Date(period.to.getTime() - 1).toISOString().slice(0, 10),
        words: WORDS,
        via: VIA,
        days: byDay(shown).map(([day, rows]) => ({
          day,
          rows: rows.map((row) => ({ ...row, keyName: row.keyId && names.get(row.keyId) })),
        })),
        sums: new Map(days.map((day) => [day.day, day])),
        opening: days.at(-1)?.openingMsat ?? null,
        closing: days[0]?.closingMsat ?? null,
        query: (changes: Record<string, string>) =>
          new URLSearchParams({ ...(kind && { kind }), ...(from && { from }), ...(to && { to }), ...changes }).toString(),
        older: last ? { cursor: encodeCursor([String(last.id)]), at: last.createdAt } : null,
      };
      await frame.send(res, 'console/statement', { title: 'Statement', section: PAGE }, data);
    },

    async csv(req: Request, res) {
      const { accountId } = sessionOf(res);
      const { kind, from, to, cursor } = readQuery(statementQuery, req.query);
      const [before] = decodeCursor(cursor, POSITION) ?? [];
      const filter = {
        accountId,
        keyId: null,
        kind,
        ...((from ?? to) ? periodOf(from, to) : {}),
        before: before === undefined ? null : BigInt(before),
      };
      const more = (id: bigint) => `more: ask again with cursor=${encodeCursor([String(id)])}`;
      await sendCsv(res, 'pura-statement.csv', statementCsv({ pool, apiKeys }, filter, { most: MOST_CSV, more }));
    },
  };
}

/** UTC days, both ends included; the last 30 where nothing is asked for, and a quarter of a year at most on a page. */
function periodOf(from: string | undefined, to: string | undefined): { from: Date; to: Date } {
  const end = to === undefined ? startOfDay(Date.now()) + DAY_MS : Date.parse(to) + DAY_MS;
  const begin = from === undefined ? end - 30 * DAY_MS : Math.max(Date.parse(from), end - LONGEST_DAYS * DAY_MS);
  return { from: new Date(Math.min(begin, end - DAY_MS)), to: new Date(end) };
}

function startOfDay(at: number): number {
  return at - (at % DAY_MS);
}

function byDay<T extends { createdAt: Date }>(lines: readonly T[]): [day: string, rows: T[]][] {
  const days = new Map<string, T[]>();
  for (const line of lines) {
    const day = line.createdAt.toISOString().slice(0, 10);
    days.set(day, [...(days.get(day) ?? []), line]);
  }
  return [...days];
}

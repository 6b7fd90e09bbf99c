import type { RequestHandler } from 'express';
import { msat } from '../../amount.ts';
import type { Pool } from '../../db/postgres.ts';
import { readActs, type Act } from '../../operator/acts.ts';
import { satsExact, time } from '../pages/format.ts';
import type { Pages } from '../pages/pages.ts';
import { sendAdmin } from './admin-frame.ts';
import { PAGE_ROWS, pageOf, queryText, withQuery, type Table } from './table.ts';

export interface ActPagesDeps {
  reportPool: Pool;
  pages: Pages;
}

const SECTION = '/admin/acts';
const CSV_ROWS = 500;
const CSV_HEAD = 'time_utc,id,operator,network,act,subject_kind,subject,reason,details\r\n';
/** A spreadsheet would take such a cell for a formula. */
const FORMULA = /^[=+\-@\t\r]/;

/** The record of what operators did: as a page, and whole as CSV. */
export function actPages({ reportPool, pages }: ActPagesDeps): Record<'list' | 'csv', RequestHandler> {
  return {
    async list(req, res) {
      const acts = await readActs(reportPool, { before: seqIn(queryText(req.query, 'cursor')), limit: PAGE_ROWS + 1 });
      const { rows, last, more } = pageOf(acts);
      const older = more && last ? withQuery(SECTION, { cursor: String(last.seq) }) : undefined;
      const data = {
        intro: 'Whatever an operator did, and why. Nothing here can be changed or removed.',
        actions: [{ href: '/admin/acts.csv', name: 'Download as CSV' }],
        tables: [actsTable('acts', 'Acts, newest first', rows, older)],
      };
      sendAdmin(pages, res, 'list', { title: 'Acts', section: SECTION }, data);
    },

    async csv(_req, res) {
      res.set({
        'Content-Type': 'text/csv; charset=utf-8',
        'Content-Disposition': 'attachment; filename="acts.csv"',
        'Cache-Control': 'no-store',
      });
      res.write(CSV_HEAD);
      for (let before: bigint | null = null; !res.destroyed;) {
        const acts: Act[] = await readActs(reportPool, { before, limit: CSV_ROWS });
        const isTaken = res.write(acts.map(csvLine).join(''));
        const last = acts.at(-1);
        if (!last || acts.length < CSV_ROWS) break;
        before = last.seq;
        if (!isTaken) await new Promise<void>((resolve) => res.once('drain', resolve).once('close', resolve));
      }
      res.end();
    },
  };
}

/** Acts, each with what it was on. */
export function actsTable(id: string, caption: string, acts: readonly Act[], older?: string): Table {
  return {
    id,
    caption,
    columns: [{ name: 'When' }, { name: 'Who' }, { name: 'What' }, { name: 'On' }, { name: 'Why' }, { name: 'Details' }],
    rows: acts.map(({ at, by, act, subject, reason, details }) => ({
      cells: [
        { html: time(at) },
        { text: `${by.name}, ${by.network}` },
        { text: act.replaceAll('_', ' ') },
        subject.kind === 'account'
          ? { text: `account ${subject.id.slice(0, 8)}`, href: `/admin/accounts/${subject.id}` }
          : { text: `${subject.kind} ${subject.id.slice(0, 24)}` },
        { text: reason },
        { text: detailsInWords(details) },
      ],
    })),
    empty: 'No operator has done anything yet.',
    older,
  };
}

/** For the page: `changeMsat -100500` is `change −100.500 sats` there. */
function detailsInWords(details: Act['details']): string {
  return Object.entries(details)
    .map(([name, value]) => {
      const isMsat = name.endsWith('Msat') && /^-?\d+$/.test(String(value));
      const words = (isMsat ? name.slice(0, -'Msat'.length) : name).replaceAll(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
      return isMsat ? `${words} ${satsExact(msat(BigInt(String(value))))} sats` : `${words} ${String(value)}`;
    })
    .join(', ');
}

function detailsText(details: Act['details']): string {
  return Object.entries(details)
    .map(([name, value]) => `${name} ${String(value)}`)
    .join(', ');
}

function csvLine({ at, id, by, act, subject, reason, details }: Act): string {
  const cells = [at.toISOString(), id, by.name, by.network, act, subject.kind, subject.id, reason, detailsText(details)];
  return `${cells.map((cell) => `"${(FORMULA.test(cell) ? `'${cell}` : cell).replaceAll('"', '""')}"`).join(',')}\r\n`;
}

function seqIn(text: string | undefined): bigint | null {
  return text !== undefined && /^\d{1,18}$/.test(text) ? BigInt(text) : null;
}

import type { RequestHandler } from 'express';
import { z } from 'zod';
import type { ApiKey } from '../../accounts/api-key.ts';
import type { Config } from '../../config/config.ts';
import type { Pool } from '../../db/postgres.ts';
import type { Wallet } from '../../lightning/wallet.ts';
import { readStatement, type StatementLine } from '../../ledger/statement.ts';
import { newestInvoices, newestKeys, newestWithdrawals } from '../../operator/account-histories.ts';
import { findAccounts, listAccounts, readAccountView, searchable, type AccountFilter, type AccountLine } from '../../operator/accounts.ts';
import { readActs } from '../../operator/acts.ts';
import { readRequests, type RecordedRequest } from '../../records/recorded-requests.ts';
import { formFields } from '../pages/form.ts';
import { count, satsExact, satsMoved, satsShort, time, tokens, usd } from '../pages/format.ts';
import type { Pages } from '../pages/pages.ts';
import { doneBanners } from './act-form.ts';
import { actsTable } from './act-pages.ts';
import { sendAdmin } from './admin-frame.ts';
import { invoicesTable } from './invoice-table.ts';
import { PAGE_ROWS, pageOf, queryText, withQuery, type Table } from './table.ts';
import { withdrawalsTable } from './withdrawal-table.ts';

export interface AccountPagesDeps {
  pool: Pool;
  reportPool: Pool;
  pages: Pages;
  wallet: Pick<Wallet, 'nodeId'>;
  config: Pick<Config, 'FREE_TIER_REQUESTS'>;
}

const SECTION = '/admin/accounts';
const FILTERS: readonly [AccountFilter, string][] = [
  ['all', 'All, newest first'],
  ['funded', 'With a balance'],
  ['frozen', 'Frozen'],
];
/** Of each history, on the page of an account. */
const LATEST = 10;
const KEYS = 100;

/** The pages on which accounts are found and looked at. */
export function accountPages({
  pool,
  reportPool,
  pages,
  wallet,
  config,
}: AccountPagesDeps): Record<'list' | 'find' | 'show', RequestHandler> {
  return {
    async list(req, res) {
      const q = queryText(req.query, 'q');
      const filter = FILTERS.find(([name]) => name === req.query['show'])?.[0] ?? 'all';
      const found =
        q === undefined
          ? await listAccounts(reportPool, { filter, after: uuidIn(req.query['cursor']), limit: PAGE_ROWS + 1 })
          : await findAccounts(reportPool, q, PAGE_ROWS);
      const { rows, last, more } = pageOf(found);
      const show = filter === 'all' ? undefined : filter;
      const older = more && last ? withQuery(SECTION, { show, cursor: last.id }) : undefined;
      const isNothing = req.query['found'] === 'nothing' || (q !== undefined && rows.length === 0);
      const none = isNothing ? 'Nothing has this id, hash, prefix or address.' : undefined;
      sendAdmin(
        pages,
        res,
        'accounts',
        { title: 'Accounts', section: SECTION },
        {
          q: q ?? '',
          problem: none,
          filters: FILTERS.map(([name, label]) => ({
            name: label,
            href: withQuery(SECTION, { show: name === 'all' ? undefined : name }),
            current: q === undefined && name === filter,
          })),
          table: accountsTable(rows, older),
        },
      );
    },

    /** A form, so that what is typed stands in no address: it may be a whole key. */
    async find(req, res) {
      const { q } = formFields(req, z.object({ q: z.string().default('') }));
      const wanted = searchable(q);
      const found = wanted === '' ? [] : await findAccounts(reportPool, wanted, 2);
      const [only] = found;
      // Only the beginning of a key names several. What names nothing may be a key that was typed wrongly: that goes nowhere.
      const to = found.length === 1 && only ? `${SECTION}/${only.id}` : withQuery(SECTION, only ? { q: wanted } : { found: 'nothing' });
      res.set('Cache-Control', 'no-store').redirect(303, to);
    },

    async show(req, res) {
      const account = await readAccountView(pool, String(req.params['id']), config.FREE_TIER_REQUESTS);
      const { id: accountId } = account;
      const latest = { accountId, keyId: null, limit: LATEST };
      const [banners, keys, invoices, withdrawals, requests, statement, acts] = await Promise.all([
        doneBanners(pool, req),
        newestKeys(reportPool, accountId, KEYS),
        newestInvoices(reportPool, accountId, LATEST),
        newestWithdrawals(reportPool, accountId, LATEST),
        readRequests(reportPool, { ...latest, after: null }),
        readStatement(reportPool, { ...latest, before: null }),
        readActs(reportPool, { subject: { kind: 'account', id: accountId }, limit: LATEST }),
      ]);
      const tables = [
        keysTable(keys),
        statementTable(statement),
        requestsTable(requests),
        invoicesTable('invoices', 'The latest invoices', invoices, { ofNode: wallet.nodeId }),
        withdrawalsTable('withdrawals', 'The latest withdrawals', withdrawals),
        actsTable('acts', 'What operators did', acts),
      ];
      sendAdmin(pages, res, 'account', { title: `Account ${accountId.slice(0, 8)}`, section: SECTION, banners }, { account, tables });
    },
  };
}

function uuidIn(value: unknown): string | undefined {
  const parsed = z.uuid().safeParse(value);
  return parsed.success ? parsed.data : undefined;
}

/** Accounts, each with a link to its page. */
export function accountsTable(accounts: readonly AccountLine[], older?: string): Table {
  return {
    id: 'accounts',
    caption: 'Accounts',
    columns: [
      { name: 'Account' },
      { name: 'Balance, sats', n: true },
      { name: 'Reserved', n: true },
      { name: 'Keys', n: true },
      { name: 'Free used', n: true },
      { name: 'Since' },
      { name: 'State' },
    ],
    rows: accounts.map(({ id, postedMsat, heldMsat, keys, freeUsed, createdAt, frozenAt }) => ({
      cells: [
        { text: id, href: `${SECTION}/${id}`, mono: true },
        { text: satsExact(postedMsat) },
        { text: satsExact(heldMsat) },
        { text: count(keys) },
        { text: count(freeUsed) },
        { html: time(createdAt) },
        frozenAt ? { text: 'frozen', tone: 'warn' } : { text: 'live' },
      ],
    })),
    empty: 'No account.',
    older,
  };
}

function keysTable(keys: readonly ApiKey[]): Table {
  return {
    id: 'keys',
    caption: 'Keys, live ones first',
    columns: [
      { name: 'Prefix' },
      { name: 'Label' },
      { name: 'Role' },
      { name: 'Budget a day', n: true },
      { name: 'Last used' },
      { name: 'State' },
    ],
    rows: keys.map(({ prefix, label, role, dailyBudgetPicoUsd, lastUsedAt, revokedAt, expiresAt }) => ({
      gone: revokedAt !== null,
      cells: [
        { text: `${prefix}…`, mono: true },
        { text: label ?? '' },
        { text: role },
        { text: usd(dailyBudgetPicoUsd) },
        { html: time(lastUsedAt) },
        { text: revokedAt ? 'revoked' : expiresAt && expiresAt.getTime() <= Date.now() ? 'expired' : 'live' },
      ],
    })),
    empty: 'No key.',
  };
}

function statementTable(lines: readonly StatementLine[]): Table {
  return {
    id: 'statement',
    caption: 'The latest movements',
    columns: [{ name: 'When' }, { name: 'What' }, { name: 'Sats', n: true }, { name: 'Balance after', n: true }],
    rows: lines.map(({ createdAt, kind, model, amountMsat, balanceAfterMsat }) => ({
      cells: [
        { html: time(createdAt) },
        { text: model === null ? kind : `${kind}, ${model}` },
        { text: satsMoved(amountMsat) },
        { text: satsExact(balanceAfterMsat) },
      ],
    })),
    empty: 'No sat has moved.',
  };
}

function requestsTable(requests: readonly RecordedRequest[]): Table {
  return {
    id: 'requests',
    caption: 'The latest requests',
    columns: [
      { name: 'When' },
      { name: 'Model' },
      { name: 'Outcome' },
      { name: 'Paid by' },
      { name: 'Tokens', n: true },
      { name: 'Charged, sats', n: true },
      { name: 'Request' },
    ],
    rows: requests.map((request) => ({
      cells: [
        { html: time(request.createdAt) },
        { text: request.model ?? request.requestedModel ?? '–' },
        { text: request.errorCode ?? request.outcome },
        { text: request.funding ?? '–' },
        { text: tokens(request.promptTokens + request.completionTokens) },
        { text: satsShort(request.chargedMsat) },
        { text: request.id, mono: true },
      ],
    })),
    empty: 'No request was made.',
  };
}

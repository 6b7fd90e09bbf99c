import type { RequestHandler } from 'express';
import type { Pool } from '../../db/postgres.ts';
import { readAudits, type AuditRun } from '../../ledger/audit-history.ts';
import type { Violation } from '../../ledger/audit.ts';
import type { AuditProgress, AuditRuns } from '../../operator/audit-runs.ts';
import { count, milliseconds, time } from '../pages/format.ts';
import type { Banner, Pages } from '../pages/pages.ts';
import { doneBanners, type ActForm } from './act-form.ts';
import { sendAdmin } from './admin-frame.ts';
import { PAGE_ROWS, pageOf, queryText, withQuery, type Cell, type Table } from './table.ts';

export interface AuditPagesDeps {
  pool: Pool;
  reportPool: Pool;
  pages: Pages;
  audits: AuditRuns;
}

const SECTION = '/admin/audit';
const REFRESH_SECONDS = 2;
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** How the audits of the ledger went, and running one now. */
export function auditPages({ pool, reportPool, pages, audits }: AuditPagesDeps): { list: RequestHandler; run: ActForm } {
  return {
    async list(req, res) {
      const before = queryText(req.query, 'cursor');
      const [runs, running, banners] = await Promise.all([
        readAudits(reportPool, { before: before !== undefined && /^\d{1,18}$/.test(before) ? BigInt(before) : null, limit: PAGE_ROWS + 1 }),
        audits.isRunning(),
        doneBanners(pool, req),
      ]);
      const { rows, last, more } = pageOf(runs);
      const [latest] = rows;
      const older = more && last ? withQuery(SECTION, { cursor: String(last.id) }) : undefined;
      const history = historyTable(rows, older);
      const tables = before === undefined && latest && latest.violations > 0 ? [violationsTable(latest), history] : [history];
      const data = {
        intro: 'Every rule of the ledger, checked over what is new each hour, and over the whole history once a day.',
        actions: running ? undefined : [{ href: `${SECTION}/run`, name: 'Run now…' }],
        tables,
      };
      const page = {
        title: 'Audit',
        section: SECTION,
        banners: [
          ...banners,
          ...(running ? [runningBanner(audits.progress)] : []),
          ...resultBanner(before === undefined ? latest : undefined),
        ],
        ...(running && { refreshSeconds: REFRESH_SECONDS }),
      };
      sendAdmin(pages, res, 'list', page, data);
    },

    run: {
      section: SECTION,
      describe: () =>
        Promise.resolve({
          title: 'Audit the whole ledger now',
          consequence: 'Reads the whole history beside the requests that go on. One runs at a time, whichever gateway is asked.',
          facts: [],
          verb: 'Run',
          back: SECTION,
        }),
      perform: (_req, act) => audits.start(act),
    },
  };
}

function runningBanner(progress: AuditProgress | undefined): Banner {
  const how = progress === undefined ? 'in another gateway' : `${count(progress.rules)} of ${count(progress.of)} rules are through`;
  return { kind: 'info', text: `An audit is running: ${how}.`, links: [{ href: SECTION, name: 'Refresh' }] };
}

function resultBanner(latest: AuditRun | undefined): Banner[] {
  if (!latest || latest.violations === 0) return [];
  return [
    { kind: 'bad', text: `The last audit found ${count(latest.violations)} violations.`, links: [{ href: '/docs', name: 'What to do' }] },
  ];
}

function historyTable(runs: readonly AuditRun[], older: string | undefined): Table {
  return {
    id: 'audits',
    caption: 'Audits, newest first',
    heading: true,
    columns: [{ name: 'When' }, { name: 'Result' }, { name: 'Over' }, { name: 'Took', n: true }, { name: 'Run by' }],
    rows: runs.map(({ at, violations, whole, tookMs, ranBy }) => ({
      cells: [
        { html: time(at) },
        violations === 0 ? { text: 'sound' } : { text: `${count(violations)} violations`, tone: 'bad' as const },
        { text: whole ? 'the whole history' : 'what was new' },
        { text: milliseconds(tookMs) },
        { text: ranBy },
      ],
    })),
    empty: 'No audit has run yet.',
    older,
  };
}

function violationsTable({ examples }: AuditRun): Table {
  return {
    id: 'violations',
    caption: 'What the last one found, the first of each rule',
    heading: true,
    columns: [{ name: 'Subject' }, { name: 'Invariant', n: true }, { name: 'Rule' }, { name: 'Should be' }, { name: 'Is' }],
    rows: examples.map((violation) => ({
      cells: [
        subjectCell(violation),
        { text: count(violation.invariant) },
        { text: violation.rule },
        { text: violation.expected },
        { text: violation.found },
      ],
    })),
    empty: '',
  };
}

/** The search finds whose it is, whatever has the id. */
function subjectCell({ subject }: Violation): Cell {
  return UUID.test(subject) ? { text: subject, mono: true, href: withQuery('/admin/accounts', { q: subject }) } : { text: subject };
}

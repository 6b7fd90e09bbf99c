import type { Request, RequestHandler } from 'express';
import { z } from 'zod';
import type { Pool } from '../../db/postgres.ts';
import { GatewayError } from '../../errors.ts';
import type { Orphan } from '../../invoices/orphans.ts';
import { decideOrphan } from '../../operator/orphan-acts.ts';
import type { Belonging, Reconciling } from '../../operator/reconciling.ts';
import { satsExact, time } from '../pages/format.ts';
import type { Pages } from '../pages/pages.ts';
import { doneBanners, type ActDescription, type ActForm } from './act-form.ts';
import { sendAdmin } from './admin-frame.ts';
import { PAGE_ROWS, type Table } from './table.ts';

export interface OrphanPagesDeps {
  pool: Pool;
  pages: Pages;
  reconciling: Reconciling;
}

const SECTION = '/admin/orphans';
const HASH = /^[0-9a-f]{64}$/;

/** Payments that only the node knows, and what is decided about them. */
export function orphanPages({ pool, pages, reconciling }: OrphanPagesDeps): { list: RequestHandler; assign: ActForm; dismiss: ActForm } {
  const orphanOf = async (req: Request): Promise<Orphan> => {
    const { direction, hash } = req.params;
    const isOne = (direction === 'received' || direction === 'paid') && typeof hash === 'string' && HASH.test(hash);
    const found = isOne ? await reconciling.find(direction, Buffer.from(hash, 'hex')) : undefined;
    if (!found) throw new GatewayError('not_found', { message: 'This payment was dealt with, or never was.' });
    return found;
  };
  const describing =
    (words: (orphan: Orphan) => Pick<ActDescription, 'title' | 'consequence' | 'verb' | 'danger'>): ActForm['describe'] =>
    async (req) => {
      const orphan = await orphanOf(req);
      return { ...words(orphan), facts: factsOf(orphan, await reconciling.belongsTo(orphan)), back: SECTION };
    };

  return {
    async list(req, res) {
      const [orphans, count] = await Promise.all([reconciling.open(PAGE_ROWS), reconciling.count()]);
      const shown = await Promise.all(orphans.map(async (orphan) => ({ orphan, belonging: await reconciling.belongsTo(orphan) })));
      const data = {
        intro:
          'Payments that the node has in its books and the ledger does not know, as after the restore of a backup. No withdrawal begins until each is dealt with.',
        tables: [orphansTable(shown, count)],
      };
      sendAdmin(pages, res, 'list', { title: 'Orphans', section: SECTION, banners: await doneBanners(pool, req) }, data);
    },

    assign: {
      section: SECTION,
      fields: [
        { name: 'account', label: 'Account', hint: 'Its id. What the seal of the invoice, or the failed withdrawal, says stands above.' },
      ],
      describe: describing(({ direction }) =>
        direction === 'received'
          ? { title: 'Credit this payment', consequence: 'It becomes a deposit of the account, once.', verb: 'Credit' }
          : {
              title: 'Book this payment',
              consequence: 'It becomes a withdrawal of the account, which pays for it.',
              verb: 'Book',
              danger: true,
            },
      ),
      async perform(req, act, { account = '' }) {
        const assignTo = account === '' ? undefined : accountIn(account);
        return decideOrphan(pool, { reconciling, orphan: await orphanOf(req), decision: { assignTo } }, act);
      },
    },

    dismiss: {
      section: SECTION,
      describe: describing(() => ({
        title: 'Set this payment aside',
        consequence: 'The ledger stays as it is, and nobody is credited or charged. It cannot be taken up again.',
        verb: 'Set aside',
        danger: true,
      })),
      perform: async (req, act) => decideOrphan(pool, { reconciling, orphan: await orphanOf(req), decision: 'dismiss' }, act),
    },
  };
}

function accountIn(text: string): string {
  if (z.uuid().safeParse(text).success) return text;
  throw new GatewayError('invalid_request', { message: 'That is not the id of an account.', param: 'account' });
}

function factsOf(orphan: Orphan, belonging: Belonging): ActDescription['facts'] {
  return [
    ['Way', wayOf(orphan)],
    ['Amount', `${satsExact(orphan.amountMsat)} sats`],
    ['Payment hash', orphan.paymentHash.toString('hex')],
    ['Belongs to', ownerOf(belonging)],
  ];
}

function wayOf({ direction, pending }: Orphan): string {
  if (direction === 'received') return 'received';
  return pending ? 'still being paid' : 'paid';
}

function ownerOf(belonging: Belonging): string {
  if ('unknown' in belonging) return `not known: ${belonging.unknown}`;
  return 'accountId' in belonging ? belonging.accountId : `the payer with key row ${belonging.payerKeyId}`;
}

function orphansTable(shown: readonly { orphan: Orphan; belonging: Belonging }[], count: number): Table {
  return {
    id: 'orphans',
    caption: count > shown.length ? `The first ${shown.length} of ${count}, the oldest first` : 'Open, the oldest first',
    columns: [
      { name: 'Payment' },
      { name: 'Way' },
      { name: 'Sats', n: true },
      { name: 'Fee', n: true },
      { name: 'When' },
      { name: 'Belongs to' },
      { name: 'Credit or book' },
      { name: 'Set aside' },
    ],
    rows: shown.map(({ orphan, belonging }) => {
      const hash = orphan.paymentHash.toString('hex');
      const here = `${SECTION}/${orphan.direction}/${hash}`;
      return {
        cells: [
          { text: `${hash.slice(0, 16)}…`, mono: true },
          { text: wayOf(orphan) },
          { text: satsExact(orphan.amountMsat) },
          { text: orphan.direction === 'paid' ? satsExact(orphan.feeMsat) : '' },
          { html: time(orphan.happenedAt) },
          { text: ownerOf(belonging) },
          { text: orphan.direction === 'received' ? 'Credit…' : 'Book…', href: `${here}/assign` },
          { text: 'Set aside…', href: `${here}/dismiss` },
        ],
      };
    }),
    empty: 'The ledger knows all that is in the books of the node.',
  };
}

import { createHash } from 'node:crypto';
import type { RequestHandler } from 'express';
import { z } from 'zod';
import { readAccount } from '../../accounts/account.ts';
import { idempotencyKeyOf } from '../../records/stored-answer.ts';
import type { Config } from '../../config/config.ts';
import type { Pool } from '../../db/postgres.ts';
import { GatewayError } from '../../errors.ts';
import type { Funding } from '../../funding.ts';
import { msat, satsFromMsat } from '../../amount.ts';
import { invoiceView } from '../../invoices/invoice.ts';
import { principalOf } from '../payment/authenticate.ts';
import { readJsonAndBytes } from '../server/json-body.ts';
import { originOf } from '../server/origin.ts';

export interface WalletDeps {
  pool: Pool;
  funding: Funding;
  config: Pick<Config, 'FREE_TIER_REQUESTS' | 'PUBLIC_URL'>;
}

export const FUND_PATH = '/api/wallet/fund';
const SMALLEST_TOPUP_SAT = 100;
const LARGEST_TOPUP_SAT = 1_000_000;
/** Of an invoice that somebody asks for by name, in sats. */
export const topupAmount = z.int().min(SMALLEST_TOPUP_SAT).max(LARGEST_TOPUP_SAT).default(10_000);
/** How many sats to ask for. */
export const fundBody = z.strictObject({ amount: topupAmount });

/** The handlers that bring money in: making an invoice for a top-up, and asking how it stands. */
export function walletHandlers({ pool, funding, config }: WalletDeps): Record<'fund' | 'status', RequestHandler> {
  return {
    /** 201 with the invoice; under an Idempotency-Key, the same one again for a day. */
    async fund(req, res) {
      const { key } = principalOf(res);
      const { value, bytes } = await readJsonAndBytes(req, fundBody);
      const bodySha256 = createHash('sha256').update(bytes).digest();
      const idempotency = idempotencyKeyOf(req.headers['idempotency-key'], FUND_PATH, bodySha256);
      const { invoice, replayed } = await funding.fund(key, {
        amountSat: value.amount,
        idempotencyKey: idempotency?.key,
        bodySha256,
      });
      if (replayed) res.set('Idempotency-Replayed', 'true');
      res
        .status(201)
        .set('Cache-Control', 'no-store')
        .json(invoiceView(invoice, originOf(req, config.PUBLIC_URL)));
    },

    /** One invoice of the account by `?invoiceId=`, by the node's own word where it can be had. */
    async status(req, res) {
      const { accountId } = principalOf(res).key;
      const { invoiceId } = req.query;
      if (typeof invoiceId !== 'string' || invoiceId === '') {
        throw new GatewayError('invalid_request', { message: 'invoiceId: name one invoice', param: 'invoiceId' });
      }
      const origin = originOf(req, config.PUBLIC_URL);
      res.set('Cache-Control', 'no-store').json(await topupView({ pool, funding, config }, { accountId, invoiceId, origin }));
    },
  };
}

/** How one invoice of an account stands, and what the account has. Throws `invoice_not_found`, for another account's too. */
export async function topupView(
  { pool, funding, config }: WalletDeps,
  { accountId, invoiceId, origin }: { accountId: string; invoiceId: string; origin: string },
) {
  const invoice = await funding.status(accountId, invoiceId);
  const { postedMsat, heldMsat } = await readAccount(pool, accountId, config.FREE_TIER_REQUESTS);
  return {
    ...invoiceView(invoice, origin),
    receivedMsat: invoice.receivedMsat === null ? null : Number(invoice.receivedMsat),
    paidAt: invoice.paidAt?.toISOString() ?? null,
    creditedAt: invoice.creditedAt?.toISOString() ?? null,
    balance: satsFromMsat(msat(postedMsat - heldMsat)),
  };
}

import { createHash } from 'node:crypto';
import type { RequestHandler } from 'express';
import { z } from 'zod';
import { idempotencyKeyOf } from '../../records/stored-answer.ts';
import { GatewayError } from '../../errors.ts';
import { withdrawalView } from '../../withdrawals/withdrawal.ts';
import type { Withdrawing } from '../../withdrawing.ts';
import { principalOf } from '../payment/authenticate.ts';
import { readJsonAndBytes } from '../server/json-body.ts';
import { ownerOf } from './keys.ts';

const WITHDRAW_PATH = '/api/wallet/withdraw';
/** What to pay, and the most that the way there may cost. */
export const withdrawBody = z.strictObject({
  paymentRequest: z.string().min(1).max(5_000),
  maxFeeSats: z.int().min(0).max(1_000_000_000).optional(),
});

/** The handlers that pay an account's balance out, for its owners alone: asking for it, and asking how it stands. */
export function withdrawHandlers({ withdrawing }: { withdrawing: Withdrawing }): Record<'withdraw' | 'status', RequestHandler> {
  return {
    /** 202 with the withdrawal, which may be final by then. The Idempotency-Key, without which a lost answer could mean paying twice, is required. */
    async withdraw(req, res) {
      const owner = ownerOf(principalOf(res).key);
      const { value, bytes } = await readJsonAndBytes(req, withdrawBody);
      const bodySha256 = createHash('sha256').update(bytes).digest();
      const idempotency = idempotencyKeyOf(req.headers['idempotency-key'], WITHDRAW_PATH, bodySha256);
      if (!idempotency) {
        throw new GatewayError('invalid_request', { message: 'A withdrawal needs an Idempotency-Key.', param: 'idempotency-key' });
      }
      const asked = { owner, ...value, idempotencyKey: idempotency.key, bodySha256 };
      const { withdrawal, replayed } = await withdrawing.withdraw(asked);
      if (replayed) res.set('Idempotency-Replayed', 'true');
      res.status(202).set('Cache-Control', 'no-store').json(withdrawalView(withdrawal));
    },

    /** One withdrawal of the account by `?withdrawalId=`. */
    async status(req, res) {
      const { accountId } = ownerOf(principalOf(res).key);
      const { withdrawalId } = req.query;
      if (typeof withdrawalId !== 'string' || withdrawalId === '') {
        throw new GatewayError('invalid_request', { message: 'withdrawalId: name one withdrawal', param: 'withdrawalId' });
      }
      res.set('Cache-Control', 'no-store').json(withdrawalView(await withdrawing.status(accountId, withdrawalId)));
    },
  };
}

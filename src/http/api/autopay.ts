import type { RequestHandler } from 'express';
import { z } from 'zod';
import type { Autopay } from '../../autopay/autopay.ts';
import type { AutopayState } from '../../autopay/autopay-settings.ts';
import { principalOf } from '../payment/authenticate.ts';
import { readJson } from '../server/json-body.ts';
import { ownerOf } from './keys.ts';

const sats = (least: number, most: number) => z.int().min(least).max(most);

/** What an owner chooses. Without `nwcUrl`, the connection of before stays. */
export const autopayBody = z
  .strictObject({
    nwcUrl: z.string().min(1).max(2_000).optional(),
    thresholdSats: sats(1, 1_000_000),
    topupSats: sats(100, 1_000_000),
    dailyLimitSats: sats(100, 100_000_000),
    paused: z.boolean().optional(),
  })
  .refine(({ topupSats, dailyLimitSats }) => dailyLimitSats >= topupSats, {
    path: ['dailyLimitSats'],
    message: 'must be at least topupSats',
  });

/** The handlers of an account's autopay, for its owners alone. */
export function autopayHandlers({ autopay }: { autopay: Autopay }): Record<'store' | 'show' | 'remove', RequestHandler> {
  const shown = async (accountId: string) => autopayView(await autopay.autopayState(accountId));
  return {
    /** Stores amounts and connection, and sets autopay going unless told otherwise. The wallet is asked what it may do; nothing is paid. */
    async store(req, res) {
      const owner = ownerOf(principalOf(res).key);
      const { nwcUrl, thresholdSats, topupSats, dailyLimitSats, paused } = await readJson(req, autopayBody);
      await autopay.store(owner, { nwcUrl, thresholdSat: thresholdSats, topupSat: topupSats, dailyLimitSat: dailyLimitSats });
      if (paused) await autopay.pause(owner);
      res.set('Cache-Control', 'no-store').json(await shown(owner.accountId));
    },

    async show(_req, res) {
      const { accountId } = ownerOf(principalOf(res).key);
      res.set('Cache-Control', 'no-store').json(await shown(accountId));
    },

    async remove(_req, res) {
      await autopay.remove(ownerOf(principalOf(res).key));
      res.status(204).end();
    },
  };
}

/** Autopay for the wire: never the connection. `state` is `off` where none is stored. */
export function autopayView(state: AutopayState | null) {
  if (!state) return { state: 'off' as const };
  const { wallet, last } = state;
  return {
    state: state.state,
    wallet: { name: wallet.name, relays: wallet.relayHosts },
    thresholdSats: state.thresholdSat,
    topupSats: state.topupSat,
    dailyLimitSats: state.dailyLimitSat,
    spentTodaySats: state.spentTodaySat,
    reason: state.reasonText,
    nextTryAt: state.nextTryAt?.toISOString() ?? null,
    lastAttempt: last && {
      startedAt: last.startedAt.toISOString(),
      amountSats: last.amountSat,
      outcome: last.outcome,
      reason: last.reason,
    },
  };
}

import type { RequestHandler, Response } from 'express';
import { z } from 'zod';
import { msat } from '../../amount.ts';
import type { Autopay } from '../../autopay/autopay.ts';
import { GatewayError } from '../../errors.ts';
import { autopayBody } from '../api/autopay.ts';
import { formFields } from '../pages/form.ts';
import { invalidField } from '../server/json-body.ts';
import type { ConsoleFrame } from './console-frame.ts';
import { sessionOf } from './signed-in.ts';

export interface AutopayCardDeps {
  autopay: Pick<Autopay, 'autopayState' | 'store' | 'check' | 'pause' | 'resume' | 'remove'>;
  frame: ConsoleFrame;
}

const PAGE = '/console/wallets';

/** A form's fields as the API has them: digits are numbers, an empty connection keeps the one of before. */
export const autopayFields = z.object({
  nwcUrl: z.string().optional(),
  thresholdSats: z.string(),
  topupSats: z.string(),
  dailyLimitSats: z.string(),
});

/** The acts of the autopay card on the Wallets page. */
export function autopayCard({
  autopay,
  frame,
}: AutopayCardDeps): Record<'edit' | 'store' | 'check' | 'pause' | 'resume' | 'remove', RequestHandler> {
  const done = (res: Response, what: string) => res.set('Cache-Control', 'no-store').redirect(303, `${PAGE}?done=${what}`);

  async function show(res: Response, values: Record<string, string>, problem: string | null): Promise<void> {
    const state = await autopay.autopayState(sessionOf(res).accountId);
    const data = { state, values, problem };
    await frame.send(res, 'console/autopay', { title: 'Autopay', section: PAGE, status: problem === null ? 200 : 400 }, data);
  }

  const act =
    (work: (res: Response) => Promise<void>, what: string): RequestHandler =>
    async (_req, res) => {
      await work(res);
      done(res, what);
    };

  return {
    async edit(_req, res) {
      const state = await autopay.autopayState(sessionOf(res).accountId);
      const { thresholdSat = 500, topupSat = 2_000, dailyLimitSat = 10_000 } = state ?? {};
      await show(res, { thresholdSats: String(thresholdSat), topupSats: String(topupSat), dailyLimitSats: String(dailyLimitSat) }, null);
    },

    /** What was typed is kept where something is wrong, but for the connection, which stands on no page. */
    async store(req, res) {
      const { nwcUrl = '', ...typed } = formFields(req, autopayFields);
      const numbers = Object.entries(typed).map(([name, value]) => [name, /^\d{1,12}$/.test(value) ? Number(value) : value]);
      try {
        const parsed = autopayBody.safeParse({ ...Object.fromEntries(numbers), ...(nwcUrl.trim() !== '' && { nwcUrl: nwcUrl.trim() }) });
        if (!parsed.success) throw invalidField(parsed.error);
        const { thresholdSats, topupSats, dailyLimitSats, nwcUrl: url } = parsed.data;
        await autopay.store(sessionOf(res).key, {
          nwcUrl: url,
          thresholdSat: thresholdSats,
          topupSat: topupSats,
          dailyLimitSat: dailyLimitSats,
        });
      } catch (error) {
        if (!(error instanceof GatewayError && error.status < 500 && error.code !== 'invalid_api_key')) throw error;
        return show(res, typed, error.message);
      }
      done(res, 'autopay');
    },

    /** Asks the wallet what it may do; nothing is paid. */
    async check(_req, res) {
      const found = await autopay.check(sessionOf(res).key);
      const { problem } = found;
      const budget = found.budget && {
        ...found.budget,
        usedMsat: msat(BigInt(found.budget.usedMsat)),
        totalMsat: msat(BigInt(found.budget.totalMsat)),
      };
      const state = await autopay.autopayState(sessionOf(res).accountId);
      await frame.send(res, 'console/autopay-check', { title: 'Autopay: checked', section: PAGE }, { problem, budget, state });
    },

    pause: act((res) => autopay.pause(sessionOf(res).key), 'paused'),
    resume: act((res) => autopay.resume(sessionOf(res).key), 'resumed'),
    remove: act((res) => autopay.remove(sessionOf(res).key), 'removed'),
  };
}

import { createHash } from 'node:crypto';
import type { Express, Request, RequestHandler, Response } from 'express';
import { z } from 'zod';
import { msatFromSats, picoUsdFromMsat, type Msat } from '../../amount.ts';
import type { Config } from '../../config/config.ts';
import type { Pool } from '../../db/postgres.ts';
import { GatewayError } from '../../errors.ts';
import type { Funding } from '../../funding.ts';
import { readMeanCharge } from '../../ledger/balance.ts';
import type { Wallet } from '../../lightning/wallet.ts';
import type { LightningAddresses } from '../../lnurl/lightning-addresses.ts';
import type { ExchangeRate } from '../../pricing/exchange-rate.ts';
import { topupAmount } from '../api/wallet.ts';
import { formFields } from '../pages/form.ts';
import { count, usd } from '../pages/format.ts';
import { textCode } from '../pages/text-code.ts';
import { addRoute, form as formOperation, page, text, type Operation } from '../server/operation.ts';
import { originOf } from '../server/origin.ts';
import type { ConsoleFrame } from './console-frame.ts';
import type { Guards } from './guards.ts';
import { rateNow } from './overview.ts';
import { newNonce } from './secret-page.ts';
import { sessionOf } from './signed-in.ts';
import { waysOutBanner } from './ways-out-banner.ts';

export interface TopUpDeps {
  pool: Pool;
  funding: Funding;
  wallet: Pick<Wallet, 'status'>;
  addresses: Pick<LightningAddresses, 'addressOf'>;
  frame: ConsoleFrame;
  exchangeRate: ExchangeRate;
  /** What 1,000 tokens of the cheapest model cost, for accounts that were never charged; null where that is unknown. */
  thousandTokensMsat: () => Msat | null;
  config: Pick<Config, 'PUBLIC_URL'>;
}

const PRESETS_SAT = [1_000, 5_000, 10_000, 50_000] as const;
/** How long the page waits for the node's word: an answer without it offers everything. */
const NODE_PATIENCE_MS = 500;
const NODE_DOWN = 'No invoice can be made right now. Your balance keeps working.';
const AMOUNT_SAID = 'The amount is a whole number of sats from 100 to 1,000,000.';

const fields = z.object({
  amount: z.string().trim().default(''),
  own: z.string().trim().default(''),
  nonce: z.string().max(100).optional(),
});

/** The pages that bring money in. */
export const TOP_UP_OPERATIONS = {
  ask: page({ id: 'showTopUp', path: '/console/top-up', summary: 'Ways to top up' }),
  topUp: formOperation({
    id: 'topUp',
    path: '/console/top-up',
    summary: 'Make an invoice for a top-up',
    fields,
    answers: { 400: text('The form with what is wrong.'), 429: text('Five invoices are open: those.'), 503: text('The node is away.') },
    errors: ['too_many_invoices', 'lightning_unavailable', 'last_owner_key'],
  }),
} as const satisfies Record<string, Operation>;

/** Adds the page that tops up. Whoever is signed in may: what is paid is the account's. */
export function addTopUp(app: Express, deps: TopUpDeps, { form, session }: Guards): void {
  const { show, topUp } = topUpHandlers(deps);
  addRoute(app, TOP_UP_OPERATIONS.ask, session, (req, res) => show(req, res));
  addRoute(app, TOP_UP_OPERATIONS.topUp, form, session, topUp);
}

interface Problem {
  readonly status: number;
  readonly text: string;
  readonly own?: string;
}

function topUpHandlers(deps: TopUpDeps): {
  show: (req: Request, res: Response, problem?: Problem) => Promise<void>;
  topUp: RequestHandler;
} {
  const { pool, funding, wallet, addresses, frame, exchangeRate, thousandTokensMsat, config } = deps;

  async function show(req: Request, res: Response, problem?: Problem): Promise<void> {
    const { accountId } = sessionOf(res);
    const rate = rateNow(exchangeRate);
    const eachMsat = (await readMeanCharge(pool, accountId)) ?? thousandTokensMsat();
    const isDown = !(await answersSoon(wallet));
    const address = await addresses.addressOf(accountId, originOf(req, config.PUBLIC_URL));
    const presets = PRESETS_SAT.map((amountSat) => {
      const amountMsat = msatFromSats(amountSat);
      const requests = eachMsat === null || eachMsat <= 0n ? null : count(amountMsat / eachMsat);
      return { amountSat, usd: rate && usd(picoUsdFromMsat(amountMsat, rate)), requests };
    });
    const data = {
      ...{ presets, problem, isDown, address },
      nonce: newNonce(),
      open: await funding.openOf(accountId),
      addressSvg: address.off === null && !isDown ? await textCode(`lightning:${address.lnurl}`.toUpperCase()) : null,
    };
    const banners = [...(isDown ? [{ kind: 'warn' as const, text: NODE_DOWN }] : []), ...(await waysOutBanner(pool, sessionOf(res)))];
    await frame.send(res, 'console/top-up', { title: 'Top up', section: '/console/top-up', banners, status: problem?.status }, data);
  }

  return {
    show,
    async topUp(req, res) {
      const { amount, own, nonce = newNonce() } = formFields(req, fields);
      const chosen = amount === 'own' || amount === '' ? own : amount;
      const parsed = topupAmount.safeParse(/^[\d,]+$/.test(chosen) ? Number(chosen.replaceAll(',', '')) : NaN);
      if (!parsed.success) return show(req, res, { status: 400, text: AMOUNT_SAID, own });
      try {
        const bodySha256 = createHash('sha256').update(String(parsed.data)).digest();
        const topUp = { amountSat: parsed.data, idempotencyKey: `console ${nonce}`, bodySha256 };
        const { invoice } = await funding.fund(sessionOf(res).key, topUp);
        res.set('Cache-Control', 'no-store').redirect(303, `/invoice/${invoice.id}?from=console`);
      } catch (error) {
        if (!(error instanceof GatewayError)) throw error;
        const told = {
          too_many_invoices: 'Five invoices are open already. Pay one of them, or wait until one expires.',
          lightning_unavailable: NODE_DOWN,
        };
        const said = (told as Partial<Record<string, string>>)[error.code] ?? (error.status < 500 ? error.message : undefined);
        if (said === undefined || error.status === 401) throw error;
        await show(req, res, { status: error.status, text: said, own });
      }
    },
  };
}

/** Whether the node may be there: only a plain no is one. */
async function answersSoon(wallet: Pick<Wallet, 'status'>): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const patience = new Promise<boolean>((resolve) => (timer = setTimeout(() => resolve(true), NODE_PATIENCE_MS)));
  const asked = wallet.status().then(
    ({ ready }) => ready,
    () => false,
  );
  return Promise.race([asked, patience]).finally(() => clearTimeout(timer));
}

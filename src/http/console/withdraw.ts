import { createHash, randomUUID } from 'node:crypto';
import type { RequestHandler, Response } from 'express';
import { z } from 'zod';
import { satsFromMsat, type Msat } from '../../amount.ts';
import { GatewayError } from '../../errors.ts';
import { feeLimit } from '../../ledger/withdrawal.ts';
import { readPaymentRequest } from '../../lightning/payment-request.ts';
import type { Network } from '../../lightning/wallet.ts';
import type { WithdrawCodes } from '../../lnurl/withdraw-codes.ts';
import type { Config } from '../../config/config.ts';
import { withdrawalView } from '../../withdrawals/withdrawal.ts';
import type { Withdrawing } from '../../withdrawing.ts';
import { formFields } from '../pages/form.ts';
import { qrSvg } from '../pages/qr-codes.ts';
import { originOf } from '../server/origin.ts';
import type { ConsoleFrame } from './console-frame.ts';
import { sessionOf } from './signed-in.ts';

export interface WithdrawPageDeps {
  withdrawing: Pick<Withdrawing, 'withdraw' | 'status' | 'most'>;
  withdrawCodes: Pick<WithdrawCodes, 'makeCode' | 'codeState'>;
  wallet: { readonly network: Network };
  frame: ConsoleFrame;
  config: Pick<Config, 'PUBLIC_URL' | 'WITHDRAW_MAX_FEE_PERCENT'>;
}

const PAGE = '/console/withdraw';

export const invoiceFields = z.object({ invoice: z.string().trim().max(5_000).default('') });
export const payFields = invoiceFields.extend({ once: z.uuid() });
export const withdrawalIdParams = z.object({ id: z.uuid() });

/** Why a payment failed, for the one whose money came back. */
const FAILURES: Readonly<Record<string, string>> = {
  no_route: 'No route was found.',
  no_liquidity: 'The node could not send that much just now.',
  rejected: 'The receiver refused it.',
  timed_out: 'It took too long.',
  not_sent: 'It was never sent.',
  unknown_to_node: 'It was never sent.',
  given_up: 'The operator ended it.',
};

/** The handlers of the Withdraw page: an invoice that is read back before it is paid, and a code for a phone's wallet. */
export function withdrawPageHandlers(
  deps: WithdrawPageDeps,
): Record<'page' | 'review' | 'pay' | 'result' | 'code' | 'codeState', RequestHandler> {
  const { withdrawing, wallet, frame, config } = deps;

  /** Null where there are no withdrawals, with the reason. */
  async function most(res: Response): Promise<{ mostMsat: Msat } | { off: string }> {
    try {
      return { mostMsat: await withdrawing.most(sessionOf(res).accountId) };
    } catch (error) {
      if (error instanceof GatewayError && error.code === 'not_permitted') return { off: error.message };
      throw error;
    }
  }

  async function show(res: Response, problem: string | null, invoice: string): Promise<void> {
    const data = { ...(await most(res)), problem, invoice };
    await frame.send(res, 'console/withdraw', { title: 'Withdraw', section: PAGE, status: problem === null ? 200 : 400 }, data);
  }

  return {
    async page(_req, res) {
      await show(res, null, '');
    },

    /** Reads an invoice back: amount, network, what it is for, the highest fee, and what stays. */
    async review(req, res) {
      const { invoice } = formFields(req, invoiceFields);
      const left = await most(res);
      if ('off' in left) return show(res, null, '');
      try {
        const request = readPaymentRequest(invoice, wallet.network);
        const feeMsat = feeLimit(request.amountMsat, config.WITHDRAW_MAX_FEE_PERCENT);
        const data = { request, invoice, feeMsat, network: wallet.network, mostMsat: left.mostMsat, once: randomUUID() };
        await frame.send(res, 'console/withdraw-review', { title: 'Withdraw: check it', section: PAGE }, data);
      } catch (error) {
        if (!(error instanceof GatewayError && error.code === 'invalid_request')) throw error;
        await show(res, error.message, invoice);
      }
    },

    /** The form's own key makes a double submit one payment. */
    async pay(req, res) {
      const { invoice, once } = formFields(req, payFields);
      try {
        const { withdrawal } = await withdrawing.withdraw({
          owner: sessionOf(res).key,
          paymentRequest: invoice,
          idempotencyKey: `console:${once}`,
          bodySha256: createHash('sha256').update(invoice).digest(),
        });
        res.set('Cache-Control', 'no-store').redirect(303, `${PAGE}/${withdrawal.id}`);
      } catch (error) {
        if (!(error instanceof GatewayError) || error.status >= 500 || error.code === 'invalid_api_key') throw error;
        await show(res, error.message, invoice);
      }
    },

    async result(req, res) {
      const { id } = formFields({ body: req.params }, withdrawalIdParams);
      const withdrawal = await withdrawing.status(sessionOf(res).accountId, id);
      const view = withdrawalView(withdrawal);
      const title = { pending: 'Withdrawal under way', paid: 'Withdrawn', failed: 'Withdrawal failed' }[view.status];
      const failure = withdrawal.failure === null ? null : (FAILURES[withdrawal.failure] ?? 'The payment did not work.');
      const refreshSeconds = view.status === 'pending' ? 3 : undefined;
      const page = { title, section: PAGE, refreshSeconds, script: refreshSeconds ? 'refresh.js' : undefined };
      await frame.send(res, 'console/withdrawal', page, { withdrawal, state: view.status, failure });
    },

    ...codeHandlers(deps, show),
  };
}

/** The handlers of a code that pays out whatever a phone's wallet asks for. */
function codeHandlers(
  { withdrawing, withdrawCodes, frame, config }: WithdrawPageDeps,
  show: (res: Response, problem: string, invoice: string) => Promise<void>,
): Record<'code' | 'codeState', RequestHandler> {
  return {
    /** Shown on demand alone, and once. */
    async code(req, res) {
      const { key } = sessionOf(res);
      const mostMsat = await withdrawing.most(key.accountId);
      if (satsFromMsat(mostMsat) < 1) return show(res, 'There is nothing to withdraw.', '');
      const code = await withdrawCodes.makeCode(key, originOf(req, config.PUBLIC_URL));
      const data = { code, svg: await qrSvg(`LIGHTNING:${code.lnurl}`), mostMsat };
      await frame.send(res, 'console/withdraw-code', { title: 'Withdraw by a code', section: PAGE, script: 'withdraw-code.js' }, data);
    },

    /** Where the last code leads; never the code itself again. A script asks for JSON. */
    async codeState(req, res) {
      const found = await withdrawCodes.codeState(sessionOf(res).accountId);
      const state = found?.state ?? 'expired';
      const href = found?.withdrawal ? `${PAGE}/${found.withdrawal.id}` : null;
      if (req.accepts(['html', 'json']) === 'json') {
        res.set('Cache-Control', 'no-store').json({ state, href });
        return;
      }
      if (href !== null) return res.set('Cache-Control', 'no-store').redirect(303, href);
      await frame.send(res, 'console/withdraw-code', { title: 'Withdraw by a code', section: PAGE }, { code: null, state });
    },
  };
}

import { GatewayError } from '../../errors.ts';
import { feeLimit } from '../../ledger/withdrawal.ts';
import { readPaymentRequest } from '../../lightning/payment-request.ts';
import { satsExact, satsHeld } from '../pages/format.ts';
import { formFields } from '../pages/form.ts';
import { sessionOf, type Facts } from './signed-in.ts';
import { invoiceFields, type WithdrawPageDeps } from './withdraw.ts';

type FactsDeps = Pick<WithdrawPageDeps, 'withdrawing' | 'wallet' | 'config'>;

/** What a proof for money out confirms: how much goes where. For an invoice that is pasted, and for a code that a wallet scans. */
export function withdrawFacts({ withdrawing, wallet, config }: FactsDeps): Record<'invoice' | 'code', Facts> {
  return {
    /** Nothing of an invoice that cannot be read: none of it will be paid, and its page says why. */
    async invoice(req) {
      const { invoice } = formFields(req, invoiceFields);
      try {
        const { amountMsat, payee, bolt11, description } = readPaymentRequest(invoice, wallet.network);
        return [
          { name: 'Amount', value: `${satsExact(amountMsat)} sats` },
          { name: 'Highest fee', value: `${satsExact(feeLimit(amountMsat, config.WITHDRAW_MAX_FEE_PERCENT))} sats` },
          { name: 'What for', value: description || '–' },
          { name: 'Invoice', value: `${bolt11.slice(0, 16)}…${bolt11.slice(-12)}`, isCode: true },
          { name: 'Receiving node', value: payee, isCode: true },
        ];
      } catch (error) {
        if (error instanceof GatewayError && error.code === 'invalid_request') return [];
        throw error;
      }
    },

    async code(_req, res) {
      const most = await withdrawing.most(sessionOf(res).accountId);
      return [
        { name: 'Amount', value: `up to ${satsHeld(most)} sats` },
        { name: 'To', value: 'the first wallet that scans the code' },
      ];
    },
  };
}

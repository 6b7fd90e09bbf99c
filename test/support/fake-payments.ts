import { GatewayError } from '../../src/errors.ts';
import { msat } from '../../src/ledger/amount.ts';
import type { OutgoingPayment, Payments, PaymentState } from '../../src/lightning/wallet.ts';
import { readPaymentRequest } from '../../src/lightning/payment-request.ts';

/** A node that pays as a test says: late, never, or without its answer coming through. */
export class FakePayments implements Payments {
  /** What the node has on record, by payment hash in hex. */
  readonly recorded = new Map<string, PaymentState>();
  /** The payment hashes that it was asked to pay, in hex. */
  readonly asked: string[] = [];
  lookups = 0;
  /** What comes of a payment that the node gets. */
  outcome: PaymentState = { status: 'paid', feeMsat: msat(7n) };
  /** The call never gets to the node. */
  unreached = false;
  /** The node pays, and its answer is lost. */
  losesAnswers = false;
  /** While true, no lookup is answered. */
  away = false;

  async pay({ bolt11 }: OutgoingPayment): Promise<void> {
    const hash = readPaymentRequest(bolt11, 'regtest').paymentHash.toString('hex');
    this.asked.push(hash);
    if (this.unreached) throw new GatewayError('lightning_unavailable');
    this.recorded.set(hash, this.outcome);
    if (this.losesAnswers) throw new GatewayError('lightning_unavailable');
  }

  async lookupPayment(paymentHash: Buffer): Promise<PaymentState | null> {
    this.lookups++;
    if (this.away) throw new GatewayError('lightning_unavailable');
    return this.recorded.get(paymentHash.toString('hex')) ?? null;
  }
}

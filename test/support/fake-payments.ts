import { GatewayError } from '../../src/errors.ts';
import { msat } from '../../src/amount.ts';
import { NotAskedError, type OutgoingPayment, type Payments, type PaymentState } from '../../src/lightning/wallet.ts';
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
  /** Calls are held up on their way to the node, until `arrive`. */
  unreached = false;
  /** The node cannot be asked to pay, and is not. */
  absent = false;
  /** What the node takes for the time, in milliseconds since 1970. */
  clockMs = (): number => Date.now();
  readonly #onTheirWay: string[] = [];
  /** The node pays, and its answer is lost. */
  losesAnswers = false;
  /** While true, no lookup is answered. */
  away = false;

  async pay({ bolt11 }: OutgoingPayment): Promise<void> {
    if (this.absent) throw new NotAskedError();
    this.asked.push(hashOf(bolt11));
    if (this.unreached) this.#onTheirWay.push(bolt11);
    else this.#receive(bolt11);
    if (this.unreached || this.losesAnswers) throw new GatewayError('lightning_unavailable');
  }

  /** The calls that were held up get to the node. */
  arrive(): void {
    for (const bolt11 of this.#onTheirWay.splice(0)) this.#receive(bolt11);
  }

  /** As nodes do, it pays no invoice that has expired by its clock. */
  #receive(bolt11: string): void {
    const { expiresAt } = readPaymentRequest(bolt11, 'regtest');
    if (this.clockMs() < expiresAt.getTime()) this.recorded.set(hashOf(bolt11), this.outcome);
  }

  async lookupPayment(paymentHash: Buffer): Promise<PaymentState | null> {
    this.lookups++;
    if (this.away) throw new GatewayError('lightning_unavailable');
    return this.recorded.get(paymentHash.toString('hex')) ?? null;
  }
}

function hashOf(bolt11: string): string {
  return readPaymentRequest(bolt11, 'regtest').paymentHash.toString('hex');
}

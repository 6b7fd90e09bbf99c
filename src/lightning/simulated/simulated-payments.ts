import { msat } from '../../amount.ts';
import { readPaymentRequest } from '../payment-request.ts';
import { NotAskedError, type OutgoingPayment, type Payments, type PaymentState } from '../wallet.ts';

/** What every payment of the simulated node's costs. */
const FEE_MSAT = 1_000n;

interface SimulatedPaymentRow {
  state: 'succeeded' | 'failed';
  fee_msat: bigint | null;
}

/** The simulated node's database, with errors made into those of a node. */
export type SimulatedQuery = <Row extends object>(sql: string, values?: unknown[]) => Promise<Row[]>;

/**
 * Pays others with play money. No network carries it, so each payment succeeds at once, or fails if the fee may not be 1 sat. Like a real
 * node, it pays no expired invoice.
 */
export class SimulatedPayments implements Payments {
  readonly #query: SimulatedQuery;

  constructor(query: SimulatedQuery) {
    this.#query = query;
  }

  async pay({ bolt11, maxFeeMsat, startBy }: OutgoingPayment): Promise<void> {
    const { paymentHash, expiresAt } = readPaymentRequest(bolt11, 'simulated');
    if (performance.now() > startBy) throw new NotAskedError('it is too late to ask');
    const fee = maxFeeMsat >= FEE_MSAT ? FEE_MSAT : null;
    await this.#query(
      `insert into simulated_payments (payment_hash, bolt11, fee_msat, state)
       select $1, $2, $3, $4 where clock_timestamp() < $5::timestamptz on conflict (payment_hash) do nothing`,
      [paymentHash, bolt11, fee, fee === null ? 'failed' : 'succeeded', expiresAt],
    );
  }

  async lookupPayment(paymentHash: Buffer): Promise<PaymentState | null> {
    const [row] = await this.#query<SimulatedPaymentRow>(`select state, fee_msat from simulated_payments where payment_hash = $1`, [
      paymentHash,
    ]);
    if (!row) return null;
    return row.fee_msat === null ? { status: 'failed', failure: 'no_route' } : { status: 'paid', feeMsat: msat(row.fee_msat) };
  }
}

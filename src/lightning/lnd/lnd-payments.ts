import { setTimeout as delay } from 'node:timers/promises';
import { subscribeToPastPayment, subscribeToPayViaRequest, type AuthenticatedLnd } from 'lightning';
import { msat } from '../../amount.ts';
import type { LndConnection } from './lnd-connection.ts';
import { lightningUnavailable, lndFailure } from './lnd-failure.ts';
import { NotAskedError, type OutgoingPayment, type PaymentFailure, type Payments, type PaymentState } from '../wallet.ts';

export interface LndPaymentsOptions {
  connection: LndConnection<AuthenticatedLnd>;
  /** Rejects where another node than the wallet's answers, or none. */
  confirmNode: () => Promise<unknown>;
  /** How long `pay` waits for the end of a payment. */
  patienceMs?: number;
}

/** The calls of LND's that paying takes, beyond those of receiving, and the coarser permission that each is part of. */
export const PAYING_CALLS: ReadonlyMap<string, string> = new Map([
  ['uri:/routerrpc.Router/SendPaymentV2', 'offchain:write'],
  ['uri:/routerrpc.Router/TrackPaymentV2', 'offchain:read'],
]);

/** LND says at once that it knows no such payment, and nothing of one that has no part on its way at the moment. */
const QUIET_MS = 2_000;

/**
 * Payments through LND's router. Its stream of a payment only tells when to look: errors in it may be of LND's, of the connection's or of
 * this library's, and only what LND has on record, succeeded or failed, is an outcome.
 */
export class LndPayments implements Payments {
  readonly #options: LndPaymentsOptions;

  constructor(options: LndPaymentsOptions) {
    this.#options = options;
  }

  async pay({ bolt11, maxFeeMsat, tryMs, startBy }: OutgoingPayment): Promise<void> {
    const { connection, confirmNode, patienceMs = 5_000 } = this.#options;
    await confirmNode().catch((cause: unknown) => {
      throw new NotAskedError('LND was not there', { cause });
    });
    if (performance.now() > startBy) throw new NotAskedError('it took LND too long to be there');
    const payment = subscribeToPayViaRequest({
      lnd: connection.lnd,
      request: bolt11,
      max_fee_mtokens: maxFeeMsat.toString(),
      pathfinding_timeout: tryMs,
    });
    const over = new AbortController();
    try {
      await new Promise<void>((resolve, reject) => {
        payment.on('confirmed', () => resolve());
        payment.on('failed', () => resolve());
        payment.on('error', (error: unknown) => reject(lightningUnavailable(error)));
        delay(patienceMs, undefined, { signal: over.signal }).then(resolve, () => {});
      });
    } finally {
      over.abort();
      // The stream itself goes on: LND would break the payment off with it.
      payment.removeAllListeners();
    }
  }

  async lookupPayment(paymentHash: Buffer): Promise<PaymentState | null> {
    const { connection, confirmNode } = this.#options;
    const found = await connection.call((lnd) => recorded(lnd, paymentHash.toString('hex')));
    // After the fact: what another node in its place says, "no such payment" above all, must not count, nor the silence of one that is gone.
    await confirmNode();
    return found === undefined ? { status: 'pending', known: false } : found;
  }
}

/** What LND has on record; null where it has nothing, undefined where it said nothing. */
async function recorded(lnd: AuthenticatedLnd, id: string): Promise<PaymentState | null | undefined> {
  const payment = subscribeToPastPayment({ lnd, id });
  const over = new AbortController();
  try {
    return await new Promise<PaymentState | null | undefined>((resolve, reject) => {
      payment.on('confirmed', ({ fee_mtokens }) => resolve({ status: 'paid', feeMsat: msat(BigInt(fee_mtokens)) }));
      payment.on('failed', (failed) => resolve({ status: 'failed', failure: failureOf(failed) }));
      payment.on('paying', () => resolve({ status: 'pending', known: true }));
      payment.on('end', () => reject(new Error('LND told nothing of the payment')));
      payment.on('error', (error: unknown) => (isUnknownPayment(error) ? resolve(null) : reject(error as Error)));
      delay(QUIET_MS, undefined, { signal: over.signal }).then(
        () => resolve(undefined),
        () => {},
      );
    });
  } finally {
    over.abort();
    // Ends the stream, too.
    payment.removeAllListeners();
  }
}

function isUnknownPayment(error: unknown): boolean {
  return lndFailure(error).kind === 'not-found' || (Array.isArray(error) && error[1] === 'SentPaymentNotFound');
}

function failureOf(failed: {
  is_insufficient_balance: boolean;
  is_invalid_payment: boolean;
  is_pathfinding_timeout: boolean;
  is_route_not_found: boolean;
}): PaymentFailure {
  if (failed.is_insufficient_balance) return 'no_liquidity';
  if (failed.is_invalid_payment) return 'rejected';
  if (failed.is_pathfinding_timeout) return 'timed_out';
  return failed.is_route_not_found ? 'no_route' : 'other';
}

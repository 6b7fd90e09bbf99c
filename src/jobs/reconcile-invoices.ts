import { setTimeout as delay } from 'node:timers/promises';
import { underAdvisoryLock } from '../db/advisory-lock.ts';
import type { Funding } from '../funding.ts';
import type { Wallet } from '../lightning/wallet.ts';
import type { Logger } from '../log.ts';
import type { Observe } from '../observation.ts';
import { every } from './every.ts';

export interface InvoiceWatcherOptions {
  funding: Funding;
  wallet: Pick<Wallet, 'watchSettlements'>;
  connectionString: string;
  log: Logger;
  observe: Observe;
  /** A watcher that gets nothing done for so long gives the lock to a gateway that can. */
  stallMs?: number;
  /** Waits before the next attempt to subscribe; resolves early when `signal` aborts. */
  pause?: (ms: number, signal: AbortSignal) => Promise<void>;
}

const TICK_MS = 1_000;
const BATCH = 50;
const STALL_MS = 15_000;
const FIRST_RETRY_MS = 250;
const LAST_RETRY_MS = 10_000;

/**
 * Watches the node for payments, in one of the gateways that share a database: the subscription says when to look, and every
 * open invoice is looked up on each new subscription and by its own schedule besides, because subscriptions lose events.
 */
export function reconcileInvoices({ connectionString, ...options }: InvoiceWatcherOptions): { stop(): Promise<void> } {
  const { log, stallMs = STALL_MS, pause = wait } = options;
  const stopped = new AbortController();
  const work = (signal: AbortSignal) => watch({ ...options, stallMs, pause, signal });
  const running = underAdvisoryLock({ connectionString, name: 'invoice watcher', log, signal: stopped.signal }, work);
  return {
    stop: async () => {
      stopped.abort();
      await running;
    },
  };
}

type Watch = Required<Omit<InvoiceWatcherOptions, 'connectionString'>> & { signal: AbortSignal };

/** Resolves when `signal` aborts; rejects when nothing was done for too long, so that the lock goes to another gateway. */
async function watch({ signal, ...options }: Watch): Promise<void> {
  const { funding, observe, stallMs } = options;
  const stalled = new AbortController();
  const ended = AbortSignal.any([signal, stalled.signal]);
  let lastProgress = performance.now();
  const progress = (): void => {
    lastProgress = performance.now();
    observe({ kind: 'watcher_progress' });
  };
  const stallCheck = setInterval(
    () => {
      if (performance.now() - lastProgress > stallMs) stalled.abort();
    },
    Math.min(TICK_MS, stallMs),
  );

  let missed = false;
  const makeMissedDue = async (): Promise<void> => {
    missed = false;
    await funding.missedSettlements().catch((error: unknown) => {
      missed = true;
      throw error;
    });
  };
  const checkAllDue = async (): Promise<void> => {
    if (missed) await makeMissedDue();
    let checked = BATCH;
    while (checked === BATCH && !ended.aborted) checked = await funding.checkDue(BATCH, progress);
    progress();
  };
  const schedule = every(TICK_MS, 'invoice schedule', checkAllDue, observe);
  const lookAtAll = (): void => {
    missed = true;
    schedule.wake();
  };

  await keepSubscribed({ ...options, signal: ended }, lookAtAll);
  clearInterval(stallCheck);
  const stopped = schedule.stop();
  if (stalled.signal.aborted) throw new Error(`the invoice watcher made no progress for ${stallMs} ms`);
  await stopped;
}

/** Subscribes afresh, with growing pauses, for as long as `signal` lives. */
async function keepSubscribed({ funding, wallet, observe, pause, signal }: Watch, onSubscribed: () => void): Promise<void> {
  let retryMs = FIRST_RETRY_MS;
  while (!signal.aborted) {
    try {
      await wallet.watchSettlements(
        async (state) => {
          try {
            await funding.settled(state.paymentHash);
            return true;
          } catch (error) {
            observe({ kind: 'settlement_waits', err: error });
            return false;
          }
        },
        signal,
        () => {
          retryMs = FIRST_RETRY_MS;
          onSubscribed();
        },
      );
    } catch (error) {
      observe({ kind: 'subscription_lost', err: error });
    }
    await pause(retryMs, signal);
    retryMs = Math.min(retryMs * 2, LAST_RETRY_MS);
  }
}

async function wait(ms: number, signal: AbortSignal): Promise<void> {
  await delay(ms, undefined, { signal }).catch(() => {});
}

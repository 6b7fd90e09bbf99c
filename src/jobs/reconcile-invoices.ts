import { setTimeout as delay } from 'node:timers/promises';
import { underAdvisoryLock } from '../db/advisory-lock.ts';
import type { Funding } from '../funding.ts';
import type { Wallet } from '../lightning/wallet.ts';
import type { Logger } from '../log.ts';
import { every } from './every.ts';

export interface InvoiceWatcherOptions {
  funding: Funding;
  wallet: Pick<Wallet, 'watchSettlements'>;
  connectionString: string;
  log: Logger;
}

const TICK_MS = 1_000;
const BATCH = 50;
/** A watcher that gets nothing done for so long gives the lock to a gateway that can. */
const STALL_MS = 15_000;
const FIRST_RETRY_MS = 250;
const LAST_RETRY_MS = 10_000;

/**
 * Watches the node for payments, in one of the gateways that share a database: the subscription says when to look, and every
 * open invoice is looked up on each new subscription and by its own schedule besides, because subscriptions lose events.
 */
export function reconcileInvoices({ funding, wallet, connectionString, log }: InvoiceWatcherOptions): { stop(): Promise<void> } {
  const stopped = new AbortController();
  const work = (signal: AbortSignal) => watch({ funding, wallet, log, signal });
  const running = underAdvisoryLock({ connectionString, name: 'invoice watcher', log, signal: stopped.signal }, work);
  return {
    stop: async () => {
      stopped.abort();
      await running;
    },
  };
}

interface Watch {
  funding: Funding;
  wallet: Pick<Wallet, 'watchSettlements'>;
  log: Logger;
  signal: AbortSignal;
}

/** Resolves when `signal` aborts; rejects when nothing was done for too long, so that the lock goes to another gateway. */
async function watch({ funding, wallet, log, signal }: Watch): Promise<void> {
  const stalled = new AbortController();
  const ended = AbortSignal.any([signal, stalled.signal]);
  let lastProgress = performance.now();
  const progress = (): void => {
    lastProgress = performance.now();
  };
  const stallCheck = setInterval(() => {
    if (performance.now() - lastProgress > STALL_MS) stalled.abort();
  }, TICK_MS);

  const checkAllDue = async (): Promise<void> => {
    let checked = BATCH;
    while (checked === BATCH && !ended.aborted) checked = await funding.checkDue(BATCH, progress);
    progress();
  };
  const schedule = every(TICK_MS, 'invoice schedule', checkAllDue, log);
  const lookAtAll = (): void => {
    funding.missedSettlements().then(
      () => schedule.wake(),
      (error: unknown) => log.warn({ err: error }, 'open invoices could not be made due'),
    );
  };

  await keepSubscribed({ funding, wallet, log, signal: ended }, lookAtAll);
  clearInterval(stallCheck);
  const stopped = schedule.stop();
  if (stalled.signal.aborted) throw new Error(`the invoice watcher made no progress for ${STALL_MS} ms`);
  await stopped;
}

/** Subscribes afresh, with growing pauses, for as long as `signal` lives. */
async function keepSubscribed({ funding, wallet, log, signal }: Watch, onSubscribed: () => void): Promise<void> {
  let retryMs = FIRST_RETRY_MS;
  while (!signal.aborted) {
    try {
      await wallet.watchSettlements(
        async (state) => {
          try {
            await funding.settled(state.paymentHash);
            return true;
          } catch (error) {
            log.warn({ err: error }, 'a settlement waits for the schedule');
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
      log.warn({ err: error }, 'the subscription to settlements was lost');
    }
    await delay(retryMs, undefined, { signal }).catch(() => {});
    retryMs = Math.min(retryMs * 2, LAST_RETRY_MS);
  }
}

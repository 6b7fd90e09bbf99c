import type { Observe } from '../observation.ts';
import type { Wallet } from './wallet.ts';

/** The calls whose times are observed: those that somebody waits for. */
const CALLS = ['createInvoice', 'lookupInvoice'] as const;
const PAYMENT_CALLS = ['pay', 'lookupPayment'] as const;

/** Has a wallet's calls observed from now on, how they went and how long they took. It stays the same wallet. */
export function observeCalls(wallet: Wallet, observe: Observe): void {
  for (const call of CALLS) time(wallet, call, observe);
  const { payments } = wallet;
  if (payments) for (const call of PAYMENT_CALLS) time(payments, call, observe);
}

function time<Call extends string>(owner: Record<Call, (...args: never[]) => Promise<unknown>>, call: Call, observe: Observe): void {
  const ask = owner[call].bind(owner) as (...args: unknown[]) => Promise<unknown>;
  const timed = async (...args: unknown[]): Promise<unknown> => {
    const startedAt = performance.now();
    const told = (result: 'ok' | 'failed') => observe({ kind: 'lightning_call', call, result, startedAt, endedAt: performance.now() });
    try {
      const answer = await ask(...args);
      told('ok');
      return answer;
    } catch (error) {
      told('failed');
      throw error;
    }
  };
  Object.defineProperty(owner, call, { value: timed, configurable: true, writable: true });
}

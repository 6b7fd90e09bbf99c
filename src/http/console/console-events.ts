import type { RequestHandler, Response } from 'express';
import type { AccountChanges } from '../../accounts/account-changes.ts';
import type { Session, Sessions } from '../../accounts/sessions.ts';
import { satsFromMsat } from '../../amount.ts';
import type { Pool } from '../../db/postgres.ts';
import { GatewayError } from '../../errors.ts';
import { readLiveAccount, type LiveAccount } from '../../ledger/live-account.ts';
import type { CookieConfig } from '../pages/cookies.ts';
import { sessionTokenOf } from './session-cookie.ts';
import { isOwner, sessionOf } from './signed-in.ts';

export interface ConsoleEventsDeps {
  pool: Pool;
  sessions: Pick<Sessions, 'find'>;
  funding: { readonly accountChanges: Pick<AccountChanges, 'subscribe'> };
  config: CookieConfig;
}

interface Event {
  readonly name: 'balance' | 'invoice' | 'withdrawal' | 'autopay';
  readonly data: object;
}

const MOST_STREAMS = 1_000;
const MOST_STREAMS_AN_ACCOUNT = 10;
/** A change that was not heard of is seen after so long all the same, and a session that has ended. */
const LOOK_AGAIN_MS = 5_000;

/** What changes at an account while somebody looks on, as server-sent events: for the console's pages. */
export class ConsoleEvents {
  readonly #deps: ConsoleEventsDeps;
  readonly #streams = new Map<string, number>();
  #total = 0;

  constructor(deps: ConsoleEventsDeps) {
    this.#deps = deps;
  }

  /** Behind `requireSession`. The stream ends with the session, or when the reader leaves. */
  readonly stream: RequestHandler = async (req, res) => {
    const { accountId } = sessionOf(res);
    const open = this.#streams.get(accountId) ?? 0;
    if (this.#total >= MOST_STREAMS || open >= MOST_STREAMS_AN_ACCOUNT) throw new GatewayError('overloaded', { retryAfter: 5 });
    this.#streams.set(accountId, open + 1);
    this.#total++;
    res.set({ 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-store, no-transform', 'X-Accel-Buffering': 'no' });
    res.flushHeaders();
    try {
      await this.#follow(sessionTokenOf(req, this.#deps.config), accountId, res);
    } finally {
      const left = (this.#streams.get(accountId) ?? 1) - 1;
      if (left > 0) this.#streams.set(accountId, left);
      else this.#streams.delete(accountId);
      this.#total--;
    }
  };

  async #follow(token: string | undefined, accountId: string, res: Response): Promise<void> {
    const { pool, sessions, funding } = this.#deps;
    const isOver = (): boolean => res.destroyed || res.writableEnded;
    let before: LiveAccount | null = null;
    let looking: Promise<void> = Promise.resolve();
    await new Promise<void>((resolve) => {
      const look = async (): Promise<void> => {
        if (isOver()) return;
        const session = await sessions.find(token);
        if (isOver()) return;
        if (typeof session === 'string') return void res.end();
        const now = await readLiveAccount(pool, accountId, before?.newest ?? null);
        if (isOver()) return;
        const events = eventsOf(before, now, session);
        before = now;
        res.write(events.map(({ name, data }) => `event: ${name}\ndata: ${JSON.stringify(data)}\n\n`).join('') || ': ping\n\n');
      };
      // One look after the other: an older state must never follow a newer one. One that fails is made up for by the next.
      const lookNext = (): void => {
        looking = looking.then(look).catch(() => {});
      };
      const unsubscribe = funding.accountChanges.subscribe(accountId, lookNext);
      const timer = setInterval(lookNext, LOOK_AGAIN_MS);
      res.once('close', () => {
        unsubscribe();
        clearInterval(timer);
        resolve();
      });
      lookNext();
    });
  }
}

/** What is new. The first look tells the balance alone: the page has the rest. Money out and autopay are for owners. */
function eventsOf(before: LiveAccount | null, now: LiveAccount, session: Session): Event[] {
  const balance: Event = { name: 'balance', data: { availableSats: satsFromMsat(now.availableMsat) } };
  if (before === null) return [balance];
  const events: Event[] = before.availableMsat === now.availableMsat ? [] : [balance];
  for (const { invoiceId, amountMsat } of now.deposits) {
    events.push({ name: 'invoice', data: { invoiceId, status: 'paid', receivedSats: satsFromMsat(amountMsat) } });
  }
  if (!isOwner(session)) return events;
  const { withdrawal, autopay } = now;
  if (withdrawal && (withdrawal.id !== before.withdrawal?.id || withdrawal.state !== before.withdrawal.state)) {
    const status = withdrawal.state === 'paid' || withdrawal.state === 'failed' ? withdrawal.state : 'pending';
    events.push({ name: 'withdrawal', data: { withdrawalId: withdrawal.id, status } });
  }
  if (autopay !== before.autopay) events.push({ name: 'autopay', data: { state: autopay } });
  return events;
}

import type { RequestHandler } from 'express';
import type { AccountChanges } from '../../accounts/account-changes.ts';
import type { Session, Sessions } from '../../accounts/sessions.ts';
import { satsFromMsat } from '../../amount.ts';
import type { Pool } from '../../db/postgres.ts';
import { readLiveAccount, type LiveAccount } from '../../ledger/live-account.ts';
import type { CookieConfig } from '../pages/cookies.ts';
import { LiveEvents, type LiveEvent } from '../server/live-events.ts';
import { sessionTokenOf } from './session-cookie.ts';
import { isOwner, sessionOf } from './signed-in.ts';

export interface ConsoleEventsDeps {
  pool: Pool;
  sessions: Pick<Sessions, 'find'>;
  funding: { readonly accountChanges: Pick<AccountChanges, 'subscribe'> };
  config: CookieConfig;
}

const LIMITS = { most: 1_000, mostEach: 10 };

/** What changes at an account while somebody looks on, as server-sent events: for the console's pages. */
export class ConsoleEvents {
  readonly #deps: ConsoleEventsDeps;
  readonly #live = new LiveEvents(LIMITS);

  constructor(deps: ConsoleEventsDeps) {
    this.#deps = deps;
  }

  /** Behind `requireSession`. The stream ends with the session, or when the reader leaves. */
  readonly stream: RequestHandler = async (req, res) => {
    const { pool, sessions, funding, config } = this.#deps;
    const { accountId } = sessionOf(res);
    const token = sessionTokenOf(req, config);
    let before: LiveAccount | null = null;
    await this.#live.stream(req, res, {
      name: accountId,
      subscribe: (listener) => funding.accountChanges.subscribe(accountId, listener),
      look: async () => {
        const session = await sessions.find(token);
        if (typeof session === 'string') return { events: [], isLast: true };
        const now = await readLiveAccount(pool, accountId, before?.newest ?? null);
        const events = eventsOf(before, now, session);
        before = now;
        return { events };
      },
    });
  };
}

/** What is new. The first look tells the balance alone: the page has the rest. Money out and autopay are for owners. */
function eventsOf(before: LiveAccount | null, now: LiveAccount, session: Session): LiveEvent[] {
  const balance: LiveEvent = { name: 'balance', data: { availableSats: satsFromMsat(now.availableMsat) } };
  if (before === null) return [balance];
  const events: LiveEvent[] = before.availableMsat === now.availableMsat ? [] : [balance];
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

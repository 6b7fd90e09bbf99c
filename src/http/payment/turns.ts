import type { RequestHandler } from 'express';
import { GatewayError } from '../../errors.ts';
import { principalOf } from './authenticate.ts';

export interface TurnsOptions {
  /** Pieces of work of one account that may be under way. */
  atOnce?: number;
  /** How many more may wait, and for how long. */
  maxWaiting?: number;
  patienceMs?: number;
}

interface Account {
  underWay: number;
  /** Each is called once its turn has come. */
  waiting: (() => void)[];
}

/**
 * Turns of accounts at what takes the database a while: reports, statements, stored answers. Whatever one account asks for at once, it
 * takes no more than its share of the connections that all accounts have for this.
 */
export class Turns {
  readonly #atOnce: number;
  readonly #maxWaiting: number;
  readonly #patienceMs: number;
  readonly #accounts = new Map<string, Account>();

  constructor({ atOnce = 2, maxWaiting = 8, patienceMs = 2_000 }: TurnsOptions = {}) {
    this.#atOnce = atOnce;
    this.#maxWaiting = maxWaiting;
    this.#patienceMs = patienceMs;
  }

  /** Does `work` when the account's turn has come. Throws `rate_limit_exceeded` where too much of the account's waits, or for too long. */
  async take<T>(accountId: string, work: () => Promise<T>): Promise<T> {
    const account = this.#accounts.get(accountId) ?? { underWay: 0, waiting: [] };
    this.#accounts.set(accountId, account);
    if (account.underWay >= this.#atOnce) await this.#wait(account);
    else account.underWay++;
    try {
      return await work();
    } finally {
      // Who waited the longest takes the place over.
      const next = account.waiting.shift();
      if (next) next();
      else if (--account.underWay === 0) this.#accounts.delete(accountId);
    }
  }

  /** A handler that works in its account's turn: behind `requireKey`. */
  limit(handler: RequestHandler): RequestHandler {
    return (req, res, next) =>
      this.take(principalOf(res).key.accountId, async () => {
        // Nobody waits for the answer any more.
        if (!res.destroyed) await handler(req, res, next);
      });
  }

  #wait(account: Account): Promise<void> {
    if (account.waiting.length >= this.#maxWaiting) throw refusal();
    return new Promise((resolve, reject) => {
      const turn = (): void => {
        clearTimeout(timer);
        resolve();
      };
      const timer = setTimeout(() => {
        account.waiting.splice(account.waiting.indexOf(turn), 1);
        reject(refusal());
      }, this.#patienceMs);
      account.waiting.push(turn);
    });
  }
}

function refusal(): GatewayError {
  return new GatewayError('rate_limit_exceeded', {
    message: 'Rate limit exceeded: too many reports of the account at once',
    retryAfter: 1,
  });
}

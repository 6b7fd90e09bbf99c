import type { ErrorRequestHandler, Request, RequestHandler } from 'express';
import type { Config } from '../../config/config.ts';
import { GatewayError } from '../../errors.ts';
import type { Network } from '../../lightning/wallet.ts';
import { lnurlObstacle } from '../../lnurl/lnurl-obstacle.ts';
import type { Observation, Observe } from '../../observation.ts';
import { WindowLimit } from '../../window-limit.ts';
import { sharesOf } from '../server/client-address.ts';
import { noteRefusal, publicError } from '../server/error-response.ts';
import { clientOf } from '../server/forwarded.ts';
import { originOf } from '../server/origin.ts';
import { RefusalLog } from '../server/refusal-log.ts';

export interface LnurlAnswersDeps {
  config: Pick<Config, 'PUBLIC_URL' | 'RATE_LIMIT_RPM'>;
  wallet: { readonly network: Network };
  observe: Observe;
}

/** Answers one path: what it resolves to is the JSON of the answer. `origin` is where its wallet reaches the gateway. */
export type LnurlPath = (req: Request, origin: string) => Promise<object>;

/** What a wallet is about: the tag of its LNURL. */
export type LnurlTag = Observation<'lnurl_request'>['tag'];

const MINUTE_MS = 60_000;
const PREFLIGHT_SECONDS = '600';

/**
 * How all LNURL paths answer (LUD-01): always 200, for wallets show no other answer's reason to their users. What goes wrong is
 * `{"status":"ERROR","reason":"…"}`, a sentence for people. Pages of all origins may read the answers, and no cookie is looked at.
 */
export class LnurlAnswers {
  readonly #deps: LnurlAnswersDeps;
  readonly #refusals: RefusalLog;
  readonly #senders: WindowLimit;

  constructor(deps: LnurlAnswersDeps) {
    this.#deps = deps;
    this.#refusals = new RefusalLog(deps.observe);
    this.#senders = new WindowLimit({ points: deps.config.RATE_LIMIT_RPM, windowMs: MINUTE_MS });
  }

  /** The first of a path's handlers, for whatever is under it, unknown paths and other methods included. */
  readonly openToAll: RequestHandler = (req, res, next) => {
    res.set({ 'Access-Control-Allow-Origin': '*', 'Cache-Control': 'no-store' });
    // Some paths act when they are asked: whoever wants no answer asks for nothing.
    if (req.method === 'HEAD') return void res.type('json').end();
    if (req.method !== 'OPTIONS') return next();
    res.set({
      'Access-Control-Allow-Methods': 'GET',
      'Access-Control-Allow-Headers': '*',
      'Access-Control-Max-Age': PREFLIGHT_SECONDS,
    });
    res.status(204).end();
  };

  /** The handler of one path. */
  path(tag: LnurlTag, answer: LnurlPath): RequestHandler {
    const { observe } = this.#deps;
    return async (req, res) => {
      try {
        res.json(await this.#answer(req, answer));
        observe({ kind: 'lnurl_request', tag, result: 'ok' });
      } catch (error) {
        observe({ kind: 'lnurl_request', tag, result: publicError(error).status >= 500 ? 'failed' : 'refused' });
        throw error;
      }
    };
  }

  async #answer(req: Request, answer: LnurlPath): Promise<object> {
    const origin = originOf(req, this.#deps.config.PUBLIC_URL);
    const obstacle = lnurlObstacle(origin, this.#deps.wallet.network);
    if (obstacle !== null) throw new GatewayError('not_permitted', { message: obstacle });
    const seconds = this.#senders.take(sharesOf(clientOf(req)));
    if (seconds > 0)
      throw new GatewayError('rate_limit_exceeded', { message: `Too many requests. Try again in ${seconds} s.`, limit: 'address' });
    return answer(req, origin);
  }

  /** The last of a path's handlers: whatever was thrown becomes the answer that a wallet shows. */
  readonly errors: ErrorRequestHandler = (thrown, _req, res, next) => {
    if (res.headersSent) return next(thrown);
    const error = publicError(thrown);
    this.#refusals.write(error, res.locals['requestId'] as string | undefined);
    noteRefusal(res, error, this.#deps.observe);
    res.status(200).json({ status: 'ERROR', reason: error.message });
  };
}

/** One parameter of the query, as text. Undefined where it is missing or there are several. */
export function parameterOf(req: Request, name: string): string | undefined {
  const value = req.query[name];
  return typeof value === 'string' ? value : undefined;
}

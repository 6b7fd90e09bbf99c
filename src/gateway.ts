import { hash } from 'node:crypto';
import type { Request, Response } from 'express';
import { requireLive } from './accounts/acting-key.ts';
import type { ApiKey, Principal } from './accounts/api-key.ts';
import { admit, FundsNeededError, KeyChangedError, priceUnpaid, RepeatedError, type Admitted } from './admission/admit.ts';
import { FreeShares } from './admission/free-shares.ts';
import { OpenStreams } from './admission/open-streams.ts';
import type { RateLimit } from './admission/rate-limit.ts';
import { errorEvent, type Head } from './completions/answer.ts';
import { ClientStream } from './completions/client-stream.ts';
import { conclude, replay } from './completions/conclude.ts';
import { Cancellation, type AbortReason } from './completions/cancellation.ts';
import { dispatch, type Dispatch } from './completions/dispatch.ts';
import { EndUsers } from './completions/end-users.ts';
import { Kept, type Call, type Exchange } from './completions/exchange.ts';
import { mostOutputTokens, promptTokensOf } from './metering/billed-usage.ts';
import { price, type Priced } from './metering/price.ts';
import { costBound } from './metering/quote.ts';
import type { Recorder } from './records/usage-record.ts';
import { parseChatRequest } from './wires/openai-chat/request.ts';
import { billOf } from './completions/settle.ts';
import { idempotencyKeyOf, lookUpAnswer, type EarlierAnswer, type Repeatable } from './records/stored-answer.ts';
import { bareStreamHead, streamHead } from './completions/stream-head.ts';
import type { Config } from './config/config.ts';
import type { Pool } from './db/postgres.ts';
import { GatewayError } from './errors.ts';
import type { Authenticate } from './http/payment/authenticate.ts';
import { Entrance, networksOf } from './http/payment/entrance.ts';
import { refuseOtherTypes } from './http/server/json-body.ts';
import type { Payers, Unpaid } from './http/payment/payers.ts';
import type { PaymentOffers } from './http/payment/payment-offers.ts';
import { identify, setHeaders } from './http/server/request-id.ts';
import type { Turns } from './http/payment/turns.ts';
import { readWishes, type Wishes } from './http/server/request-options.ts';
import { picoUsd } from './amount.ts';
import type { Deliveries } from './ledger/deliveries.ts';
import type { Holds } from './ledger/holds.ts';
import type { Leases } from './ledger/lease.ts';
import type { Logger } from './log.ts';
import type { ExchangeRate } from './pricing/exchange-rate.ts';
import { ZERO_USAGE } from './pricing/rate-card.ts';
import type { ProviderHealth } from './routing/health.ts';
import type { Models } from './models/models.ts';
import { SwapList } from './swap-list.ts';

export interface GatewayDeps {
  config: Config;
  pool: Pool;
  /** For stored answers, which are large, and the accounts' turns at it. */
  reportPool: Pool;
  turns: Turns;
  log: Logger;
  payers: Payers;
  authenticate: Authenticate;
  offers: PaymentOffers;
  /** Forgets a cached key, so that it is read again. */
  forgetKey: (keyId: string) => void;
  models: Models;
  health: ProviderHealth;
  exchangeRate: ExchangeRate;
  rateLimit: RateLimit;
  holds: Holds;
  deliveries: Deliveries;
  leases: Leases;
  recorder: Recorder;
  /** After how much silence a stream shows that it is alive; as `ClientStream` has it where left out. */
  pingAfterMs?: number | undefined;
}

/** So often a request is looked at whose key is changed, or whose Idempotency-Key is taken, before it is admitted. */
const MOST_ATTEMPTS = 5;

/** An inference path: its name, and what `stream` means where a request does not say. */
export interface InferencePath {
  path: string;
  streamDefault: boolean;
  /** Serves also who has no key: the answer is a 402 then, and what pays it makes one. */
  keyless?: boolean;
}

/**
 * The main path, from a request to its settled answer. Nothing reaches a provider but through here, and nothing is
 * dispatched before its hold is committed.
 */
export class Gateway {
  readonly #deps: GatewayDeps;
  readonly #endUsers: EndUsers;
  readonly #freeShares: FreeShares;
  readonly #underWay = new SwapList<Cancellation>();
  readonly #openStreams: OpenStreams;
  readonly #entrance: Entrance;
  /** Requests that have come in and are not answered, dispatched or not. */
  #inside = 0;
  /** Why nothing is served for now, as clients are told; null while all is well. */
  suspended: string | null = null;
  /** Set once the gateway takes no more requests. */
  #onEmpty: (() => void) | undefined;

  constructor(deps: GatewayDeps) {
    this.#deps = deps;
    this.#openStreams = new OpenStreams(deps.config.OPEN_STREAMS_PER_ACCOUNT);
    this.#entrance = new Entrance(deps);
    this.#endUsers = new EndUsers(deps.config.secretKeys);
    const { FREE_TIER_GLOBAL_DAILY_USD: dayPicoUsd, FREE_TIER_MAX_COST_USD: requestPicoUsd } = deps.config;
    this.#freeShares = new FreeShares({ dayPicoUsd, requestPicoUsd });
  }

  /** Requests under way now. */
  get underWay(): number {
    return this.#underWay.size;
  }

  /** Takes no more requests; resolves once those that are inside have been answered. */
  async close(): Promise<void> {
    const emptied = new Promise<void>((resolve) => (this.#onEmpty = resolve));
    if (this.#inside > 0) await emptied;
  }

  /** Ends every request under way: what was delivered is charged, the rest is released. */
  stop(): void {
    for (const cancellation of this.#underWay) cancellation.cancel('shutdown');
  }

  /** Answers one chat-completions request. Rejects with what the client is to be told, as long as nothing was sent. */
  async chat(req: Request, res: Response, path: InferencePath): Promise<void> {
    const head = identify(res);
    this.#inside++;
    try {
      if (this.#onEmpty)
        throw new GatewayError('overloaded', { message: 'The gateway is stopping.', retryAfter: 1, headers: { Connection: 'close' } });
      if (this.suspended !== null) throw new GatewayError('overloaded', { message: this.suspended, retryAfter: 60 });
      await this.#answer(req, res, path, head);
    } catch (error) {
      if (!res.headersSent) setHeaders(res, head);
      throw error;
    } finally {
      this.#leave();
    }
  }

  #leave(): void {
    this.#inside--;
    if (this.#inside === 0) this.#onEmpty?.();
  }

  async #answer(req: Request, res: Response, path: InferencePath, head: Head): Promise<void> {
    const payer = await this.#deps.payers.identify(req, { asKnown: true });
    if (!payer && !path.keyless) throw new GatewayError('invalid_api_key');
    const receiving = this.#entrance.receive(req, payer);
    try {
      await this.#answerFor(req, res, path, head, payer, receiving);
    } catch (error) {
      this.#entrance.refused(payer, error);
      throw error;
    }
  }

  async #answerFor(
    req: Request,
    res: Response,
    { path, streamDefault }: InferencePath,
    head: Head,
    atFirst: Principal | Unpaid | null,
    receiving: Promise<Buffer>,
  ): Promise<void> {
    const { payers, authenticate, config, models, exchangeRate, pool } = this.#deps;
    const startedAt = performance.now();
    const cameWhole = req.complete;
    const body = await receiving;
    // The body may have taken minutes: who pays is who pays now, and nobody who has paid meanwhile is asked to pay again.
    const payer = atFirst && ('unpaid' in atFirst || !cameWhole) ? await payers.identify(req) : atFirst;
    refuseOtherTypes(req);
    const bodySha256 = hash('sha256', body, 'hex');
    head.push('X-Pura-Body-Sha256', bodySha256);
    const rate = exchangeRate.current();
    const wishes = readWishes(req, rate);
    const request = parseChatRequest(body, { streamDefault, allowParameters: models.allowParameters });
    const idempotency = idempotencyKeyOf(req.headers['idempotency-key'], path, Buffer.from(bodySha256, 'hex'));
    if (wishes.clientRequestId) head.push('X-Client-Request-Id', wishes.clientRequestId);
    if (request.routing.quality) head.push('X-Pura-Quality', request.routing.quality);
    if (!payer || 'unpaid' in payer) throw await this.#askToPay(req, { request, rate }, wishes, payer);
    if (payer.receipt) head.push('Payment-Receipt', payer.receipt);
    const requestId = res.locals['requestId'] as string;
    let { key } = payer;

    for (let attempt = 1; ; attempt++) {
      const earlier = idempotency && (await lookUpAnswer(pool, config.secretKeys, key.accountId, idempotency));
      try {
        if (earlier && 'take' in earlier) return await this.#repeat(res, head, key, earlier);
        const call = { requestId, res, head, path, request, key, rate, startedAt, clientRequestId: wishes.clientRequestId };
        return await this.#serve(req, call, wishes, earlier);
      } catch (error) {
        // The key was changed, or another request was faster with the same Idempotency-Key: look again, but not for ever.
        if (attempt === MOST_ATTEMPTS || !(error instanceof KeyChangedError || error instanceof RepeatedError)) throw error;
        this.#deps.forgetKey(key.id);
        ({ key } = await authenticate(req));
      }
    }
  }

  /** A repeat is a request like any other to the rate limits, which are asked before the answer is read. */
  async #repeat(res: Response, head: Head, key: ApiKey, earlier: EarlierAnswer): Promise<void> {
    const { pool, reportPool, rateLimit, turns } = this.#deps;
    rateLimit.check(key, 0);
    await requireLive(pool, key);
    const answer = await turns.take(key.accountId, () => earlier.take(reportPool));
    if (!answer) throw new RepeatedError();
    replay(res, head, answer);
  }

  /** Route, quote, admit; call and relay; settle. */
  async #serve(req: Request, incoming: Omit<Call, 'client'>, wishes: Wishes, repeatable: Repeatable | null): Promise<void> {
    const { request, key, res, head } = incoming;
    const { choice, quote, maxCostPicoUsd } = await price(this.#deps, request, wishes.maxCostPicoUsd, key);
    const leave = request.stream ? this.#openStreams.enter(key.accountId) : undefined;
    const client = request.stream ? new ClientStream(res, bareStreamHead(head), this.#deps.pingAfterMs) : null;
    const call: Call = { ...incoming, client };
    try {
      const admitted = await this.#admit(req, call, wishes, { choice, quote, maxCostPicoUsd, repeatable });
      await this.#carryOut(this.#open(call, admitted, { choice, quote, repeatable }));
    } catch (error) {
      if (!client?.opened || !(error instanceof GatewayError)) throw error;
      this.#deps.log.warn({ requestId: call.requestId, code: error.code, err: error.cause }, 'a stream failed before it began');
      client.end(errorEvent(error));
    } finally {
      client?.close();
      leave?.();
    }
  }

  async #carryOut(exchange: Exchange): Promise<void> {
    this.#underWay.add(exchange.cancellation);
    try {
      const dispatched = await dispatch(this.#dispatchOf(exchange));
      await conclude(this.#deps, exchange, dispatched);
    } catch (error) {
      // A bug: nobody will settle this hold, so it is not kept alive but left to the sweeper.
      if (!(error instanceof GatewayError)) exchange.lease.end();
      throw error;
    } finally {
      this.#underWay.delete(exchange.cancellation);
    }
  }

  async #admit(
    req: Request,
    call: Call,
    wishes: Wishes,
    { choice, quote, maxCostPicoUsd, repeatable }: Priced & { repeatable: Repeatable | null },
  ): Promise<Admitted & Pick<Exchange, 'free'>> {
    const { rateLimit, holds, config } = this.#deps;
    const { requestId, key, rate, request } = call;
    const priceVersion = choice.candidates[0]?.rateCard.priceVersion ?? 0;
    const { n: choices, stream } = request;
    const idempotency = repeatable?.idempotency;
    const free = this.#freeShares.reserve(networksOf(req, config), costBound(quote, quote.mostTokens));
    try {
      const admitted = await admit(
        { rateLimit, holds, freeMaxPicoUsd: free.maxPicoUsd, aboveFreeMax: free.isShort ? 'daily_ceiling' : 'too_costly' },
        { requestId, key, quote, choices, priceVersion, rate, maxCostPicoUsd, stream, idempotency },
      );
      const isFree = admitted.hold.funding === 'free';
      free.correct(isFree ? admitted.hold.costPicoUsd : picoUsd(0n));
      return { ...admitted, free: isFree ? free : null };
    } catch (error) {
      free.correct(picoUsd(0n));
      if (!(error instanceof FundsNeededError)) throw error;
      const { code, reason, shortfallMsat, ticket } = error;
      throw await this.#deps.offers.refuse(
        req,
        { key },
        { code, reason, shortfallMsat, topupSats: wishes.topupSats, headers: ticket.headers },
      );
    }
  }

  /** The 402 of a request that nobody has paid for yet: priced like any other, so that what is paid for it covers it. */
  async #askToPay(
    req: Request,
    { request, rate }: Pick<Call, 'request' | 'rate'>,
    wishes: Wishes,
    payer: Unpaid | null,
  ): Promise<GatewayError> {
    const { quote, maxCostPicoUsd } = await price(this.#deps, request, wishes.maxCostPicoUsd, payer?.key ?? { allowedModels: null });
    const limited = payer && (payer.key ?? { id: payer.grant.keyId, accountId: payer.grant.keyId, rateLimitRpm: null, rateLimitTpm: null });
    const terms = priceUnpaid(this.#deps.rateLimit, { key: limited, quote, choices: request.n, rate, maxCostPicoUsd });
    return this.#deps.offers.refuse(req, payer, { ...terms, topupSats: wishes.topupSats });
  }

  /** The admitted request with its lease, and what gives it up. */
  #open(
    call: Call,
    { hold, ticket, since, free }: Admitted & Pick<Exchange, 'free'>,
    { repeatable, ...priced }: Pick<Exchange, 'choice' | 'quote'> & { repeatable: Repeatable | null },
  ): Exchange {
    const cancellation = new Cancellation();
    const give = (reason: AbortReason) => cancellation.cancel(reason);
    const lease = this.#deps.leases.take(call.requestId, since, () => give('lease_lost'));
    const keeping = repeatable?.keeping(hold.funding === 'free') ?? null;
    const kept = keeping && call.request.stream ? new Kept(keeping.mostBytes) : null;
    const exchange: Exchange = { ...call, ...priced, free, hold, ticket, lease, cancellation, keeping, kept };
    const timeLimit = setTimeout(() => give('time_limit'), this.#deps.config.STREAM_MAX_SECONDS * 1000);
    call.res.once('close', () => {
      clearTimeout(timeLimit);
      // Once something was delivered, a stream's relay sees for itself how its client left: it may still wait for the usage.
      const answering = call.client ? call.client.delivered : call.res.headersSent;
      if (!call.res.writableFinished && !answering) give('client_gone');
    });
    // It left while its hold was placed: its close will not be heard any more.
    if (call.res.destroyed) {
      clearTimeout(timeLimit);
      give('client_gone');
    }
    return exchange;
  }

  #dispatchOf(exchange: Exchange): Dispatch {
    const { requestId, client, request, choice, hold, clientRequestId, lease, cancellation, kept, key, rate } = exchange;
    const { config, health, holds } = this.#deps;
    return {
      client,
      request,
      candidates: choice.candidates,
      outputTokens: hold.tokens,
      accountHash: this.#endUsers.hashOf(key),
      clientRequestId,
      lease,
      cancellation,
      firstByteTimeoutMs: config.UPSTREAM_TIMEOUT_SECONDS * 1000,
      health,
      streamHead: (deployment, answer) => streamHead(exchange, deployment, answer),
      checkpoint: async (deployment, deliveredTokens) => {
        const since = performance.now();
        const completionTokens = Math.min(deliveredTokens, mostOutputTokens(exchange, deployment));
        const usage = { ...ZERO_USAGE, promptTokens: await promptTokensOf(exchange, deployment), completionTokens };
        const { chargeMsat, costPicoUsd } = billOf(usage, deployment.rateCard, config.markupBasisPoints, hold, rate);
        const { verdict } = await holds.checkpoint({ requestId, accountId: key.accountId, chargeMsat, costPicoUsd });
        if (verdict === 'kept') lease.renewed(since);
        return verdict === 'kept';
      },
      keep: kept ? (events) => kept.add(events) : undefined,
    };
  }
}

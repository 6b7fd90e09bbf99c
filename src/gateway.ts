import type { Request, Response } from 'express';
import { requireLive } from './accounts/acting-key.ts';
import type { ApiKey } from './accounts/api-key.ts';
import { KeyChangedError, RepeatedError } from './admission/admit.ts';
import { OpenStreams } from './admission/open-streams.ts';
import type { Autopay } from './autopay/autopay.ts';
import { billFor } from './completions/billing.ts';
import type { Call, UnderWay } from './completions/call.ts';
import { cascade } from './completions/cascade.ts';
import { ClientStream } from './completions/client-stream.ts';
import { deliver } from './completions/deliver.ts';
import { EndUsers } from './completions/end-users.ts';
import { timingOf } from './completions/figures.ts';
import { finish, replay, type FinishDeps } from './completions/finish.ts';
import { foretell, foretoldBytes } from './completions/foretell.ts';
import { openGrant } from './completions/grant.ts';
import { bareStreamHead } from './completions/head.ts';
import { OpenRequests } from './completions/open-requests.ts';
import { plan, type PlanDeps } from './completions/plan.ts';
import { reach, type ReachDeps } from './completions/reach.ts';
import { isInOnePiece, replyTo, storedAnswer } from './completions/reply.ts';
import { heldBy, settle } from './completions/settle.ts';
import type { Timer } from './timer.ts';
import { Trail, type Tracing } from './completions/trail.ts';
import type { Config } from './config/config.ts';
import type { Pool } from './db/postgres.ts';
import { GatewayError } from './errors.ts';
import type { Authenticate } from './http/payment/authenticate.ts';
import { Cashier, type CashierDeps } from './http/payment/cashier.ts';
import { Entrance } from './http/payment/entrance.ts';
import { readIncoming, type Incoming, type IncomingDeps, type InferenceRoute } from './http/payment/incoming.ts';
import type { Unpaid } from './http/payment/payers.ts';
import type { Turns } from './http/payment/turns.ts';
import { publicError } from './http/server/error-response.ts';
import { identify, setHeaders } from './http/server/request-id.ts';
import type { Deliveries } from './ledger/deliveries.ts';
import type { Leases } from './ledger/lease.ts';
import { NOTHING_BILLED } from './metering/bill.ts';
import type { Models } from './models/models.ts';
import type { Observe } from './observation.ts';
import type { Gate } from './routing/gate.ts';
import type { WarmCaches } from './routing/warm-caches.ts';
import { lookUpAnswer, type EarlierAnswer, type Repeatable } from './records/stored-answer.ts';
import { openAiChat } from './wires/openai-chat/surface.ts';
import { parseBody } from './wires/parse-json.ts';
import type { JsonObject } from './wires/wire.ts';

export interface GatewayDeps extends CashierDeps, IncomingDeps, PlanDeps, FinishDeps {
  config: Config;
  pool: Pool;
  /** For stored answers, which are large, and the accounts' turns at it. */
  reportPool: Pool;
  turns: Turns;
  authenticate: Authenticate;
  /** Forgets a cached key, so that it is read again. */
  forgetKey: (keyId: string) => void;
  models: Models;
  gate: Gate;
  warm: WarmCaches;
  autopay: Pick<Autopay, 'help' | 'spent'>;
  deliveries: Deliveries;
  leases: Leases;
  observe: Observe;
  /** Absent where nothing is traced. */
  tracing?: Tracing | undefined;
  /** After how much silence a stream shows that it is alive; as `ClientStream` has it where left out. */
  pingAfterMs?: number | undefined;
  /** Of the silence of providers; the process's own where left out. */
  timer?: Timer | undefined;
}

/** What an answer says in any case, and what is observed of it. */
interface Begun {
  readonly head: string[];
  readonly trail: Trail;
}

/** So often a request is looked at whose key is changed, or whose Idempotency-Key is taken, before it is admitted. */
const MOST_ATTEMPTS = 5;

/**
 * The main path, from a request to its settled answer. Nothing reaches a provider but through here, and nothing is sent before its hold is
 * committed.
 */
export class Gateway {
  readonly requests = new OpenRequests();
  readonly #deps: GatewayDeps;
  readonly #reachDeps: ReachDeps;
  readonly #cashier: Cashier;
  readonly #timeLimitMs: number;
  readonly #openStreams: OpenStreams;
  readonly #entrance: Entrance;

  constructor(deps: GatewayDeps) {
    this.#deps = deps;
    this.#openStreams = new OpenStreams(deps.config.OPEN_STREAMS_PER_ACCOUNT);
    this.#entrance = new Entrance(deps);
    const endUsers = new EndUsers(deps.config.secretKeys);
    this.#reachDeps = { ...deps, accountHashOf: ({ apiKey }) => endUsers.hashOf(apiKey) };
    this.#cashier = new Cashier(deps);
    this.#timeLimitMs = deps.config.STREAM_MAX_SECONDS * 1000;
  }

  /** Streams to clients that are open. */
  get streamsOpen(): number {
    return this.#openStreams.size;
  }

  /** Answers one inference request. Rejects with what the client is to be told, as long as nothing was sent. */
  async answer(req: Request, res: Response, route: InferenceRoute): Promise<void> {
    const head = identify(req, res);
    const trail = this.#trailOf(req, res, route);
    try {
      const leave = this.requests.enter();
      try {
        await this.#receive(req, res, route, { head, trail });
      } finally {
        leave();
      }
    } catch (error) {
      trail.refused(publicError(error));
      if (!res.headersSent) setHeaders(res, head);
      throw error;
    } finally {
      trail.tell();
    }
  }

  #trailOf(req: Request, res: Response, { path, surface }: InferenceRoute): Trail {
    const { observe, tracing } = this.#deps;
    const requestId = res.locals['requestId'] as string;
    const { traceparent } = req.headers;
    return new Trail({ observe, tracing, requestId, surface: surface.wire, path, traceparent: traceparent && String(traceparent) });
  }

  /**
   * What a chat would cost, of which it is asked by another way than `/api/estimate`; without a key, whoever takes the question limits it.
   * Rejects as `answer` does.
   */
  async estimate(chat: JsonObject, apiKey: ApiKey | null): Promise<JsonObject> {
    const picoUsdPerMsat = this.#deps.exchangeRate.current();
    const { allowParameters } = this.#deps.models;
    const body = parseBody(Buffer.from(JSON.stringify(chat)));
    const request = openAiChat.parse(body, { streamDefault: false, allowParameters, headers: {} });
    const options = { maxCostPicoUsd: null, callerKey: null, isForetold: true };
    const planned = await plan(this.#deps, request, options, apiKey ?? { allowedModels: null });
    return (await foretell(this.#deps, { request, apiKey, picoUsdPerMsat, foretells: 'estimate' }, planned)).told;
  }

  /** Who pays, and what is asked. What is refused for what it says counts as one of its key's. */
  async #receive(req: Request, res: Response, route: InferenceRoute, { head, trail }: Begun): Promise<void> {
    const payer = await this.#deps.payers.identify(req, { asKnown: true });
    trail.stages.identifiedAt = performance.now();
    if (!payer && !route.keyless) throw new GatewayError('invalid_api_key');
    const body = this.#entrance.receive(req, payer);
    try {
      const incoming = await readIncoming(this.#deps, { req, res, route, head, payer, body, trail });
      if (!incoming.payer || 'unpaid' in incoming.payer) throw await this.#askToPay(req, incoming, incoming.payer);
      if (incoming.payer.receipt) head.push('Payment-Receipt', incoming.payer.receipt);
      const { key } = incoming.payer;
      await (incoming.foretells ? this.#foretell(incoming, key) : this.#answerOnce(req, incoming, key));
    } catch (error) {
      this.#entrance.refused(payer, error);
      throw error;
    }
  }

  /** Who would serve, and at what cost. Nothing is sent, held or recorded, so there is nothing to repeat either. */
  async #foretell(incoming: Incoming, apiKey: ApiKey): Promise<void> {
    const { res, head, request, options } = incoming;
    const planned = await plan(this.#deps, request, { ...options, isForetold: true }, apiKey);
    const { head: ownHead, body } = foretoldBytes(await foretell(this.#deps, { ...incoming, apiKey }, planned));
    res.writeHead(200, [...head, ...ownHead]).end(body);
    incoming.trail.end('foretold', 200);
  }

  /** A repeat with the same Idempotency-Key gets the answer of before. */
  async #answerOnce(req: Request, incoming: Incoming, atFirst: ApiKey): Promise<void> {
    const { pool, config, authenticate } = this.#deps;
    const { idempotencyKey } = incoming;
    let apiKey = atFirst;
    for (let attempt = 1; ; attempt++) {
      const earlier = idempotencyKey && (await lookUpAnswer(pool, config.secretKeys, apiKey.accountId, idempotencyKey));
      try {
        if (earlier && 'take' in earlier) return await this.#repeat(incoming, apiKey, earlier);
        return await this.#serve(req, incoming, apiKey, earlier);
      } catch (error) {
        // The key was changed, or another request was faster with the same Idempotency-Key: look again, but not for ever.
        if (attempt === MOST_ATTEMPTS || !(error instanceof KeyChangedError || error instanceof RepeatedError)) throw error;
        this.#deps.forgetKey(apiKey.id);
        ({ key: apiKey } = await authenticate(req));
      }
    }
  }

  /** A repeat is a request like any other to the rate limits, which are asked before the answer is read. */
  async #repeat(incoming: Incoming, apiKey: ApiKey, earlier: EarlierAnswer): Promise<void> {
    const { pool, reportPool, rateLimit, turns } = this.#deps;
    rateLimit.check(apiKey, 0);
    await requireLive(pool, apiKey);
    const answer = await turns.take(apiKey.accountId, () => earlier.take(reportPool));
    if (!answer) throw new RepeatedError();
    replay(incoming, answer);
    incoming.trail.end('replayed', answer.answer.status);
  }

  /** Plans a request and has it admitted; then it is carried out. */
  async #serve(req: Request, incoming: Incoming, apiKey: ApiKey, repeatable: Repeatable | null): Promise<void> {
    const { request, res, head, surface, requestId, trail } = incoming;
    trail.stages.planAt = performance.now();
    const planned = await plan(this.#deps, request, incoming.options, apiKey);
    trail.planned(planned);
    const leave = request.stream ? this.#openStreams.enter(apiKey.accountId) : undefined;
    const client = request.stream ? new ClientStream(res, bareStreamHead(head), this.#deps.pingAfterMs) : null;
    const call: Call = { ...incoming, apiKey, client };
    try {
      const admitted = await this.#cashier.admit(req, incoming, apiKey, planned, repeatable);
      trail.admitted(admitted.hold);
      const grant = openGrant({ leases: this.#deps.leases, timeLimitMs: this.#timeLimitMs }, call, admitted, repeatable);
      await this.#carryOut({ call, plan: planned, grant });
    } catch (error) {
      if (!client?.opened || !(error instanceof GatewayError)) throw error;
      trail.refused(error);
      this.#deps.observe({ kind: 'stream_failed', requestId, code: error.code, err: error.cause });
      client.end(surface.errorEvents(error.toJSON(), requestId));
    } finally {
      client?.close();
      leave?.();
    }
  }

  /** Reach a provider, deliver its answer, bill, settle, finish. Settling is never cancelled. A cascade reaches and delivers step by step. */
  async #carryOut(admitted: UnderWay): Promise<void> {
    const { call, plan: planned, grant } = admitted;
    this.requests.begin(grant.cancellation);
    try {
      const { ending, climb } = call.request.routing.cascade
        ? await cascade(this.#reachDeps, admitted)
        : { ending: await deliver(await reach(this.#reachDeps, call, planned, grant), grant), climb: undefined };
      const underWay = { ...admitted, climb };
      const timing = timingOf(call, ending);
      const owed = await billFor(this.#deps.config, underWay, ending);
      const bill = owed ?? NOTHING_BILLED;
      const reply = replyTo(underWay, ending, bill, timing);
      const stored = storedAnswer(underWay, ending, bill, reply);
      const { stages } = call.trail;
      stages.settleAt = performance.now();
      const settled = await settle(this.#deps, heldBy(underWay), owed, {
        answer: stored ? grant.keeping?.seal(stored) : undefined,
        unlessLate: isInOnePiece(reply),
        maybeSwept: !grant.lease.held(),
      });
      stages.settledAt = performance.now();
      if (settled.state === 'settled') this.#deps.autopay.spent(call.apiKey.accountId, settled.verdict.availableMsat);
      finish(this.#deps, underWay, { ending, bill, reply, settled, timing });
    } catch (error) {
      // A bug: nobody will settle this hold, so it is not kept alive but left to the sweeper.
      if (!(error instanceof GatewayError)) grant.lease.end();
      throw error;
    } finally {
      this.requests.end(grant.cancellation);
    }
  }

  async #askToPay(req: Request, incoming: Incoming, payer: Unpaid | null): Promise<GatewayError> {
    const key = payer?.key ?? { allowedModels: null };
    const planned = await plan(this.#deps, incoming.request, incoming.options, key);
    return this.#cashier.askToPay(req, incoming, payer, planned);
  }
}

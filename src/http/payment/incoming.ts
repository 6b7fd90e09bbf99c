import { hash } from 'node:crypto';
import type { Request, Response } from 'express';
import type { Principal } from '../../accounts/api-key.ts';
import type { PicoUsdPerMsat } from '../../amount.ts';
import type { ExchangeRate } from '../../pricing/exchange-rate.ts';
import { idempotencyKeyOf, type IdempotencyKey } from '../../records/stored-answer.ts';
import { parseBody } from '../../wires/parse-json.ts';
import type { Trail } from '../../completions/trail.ts';
import type { InferenceRequest } from '../../wires/request.ts';
import type { Surface } from '../../wires/wire.ts';
import { refuseOtherTypes } from '../server/json-body.ts';
import { readRequestOptions, type RequestOptions } from '../server/request-options.ts';
import type { Payers, Unpaid } from './payers.ts';

/** An inference path: its name, the wire that clients speak there, and what `stream` means where a request does not say. */
export interface InferenceRoute {
  readonly path: string;
  readonly surface: Surface;
  readonly streamDefault: boolean;
  /** Serves also who has no key: the answer is a 402 then, and what pays it makes one. */
  readonly keyless?: boolean;
  /** Pays by the key that a session of the console stands for, and takes no other credential. */
  readonly session?: boolean;
  /** Answers what a request would cost, and carries none out. */
  readonly estimates?: boolean;
}

/** A request that has been read: who pays, what is asked, at which exchange rate. */
export interface Incoming {
  readonly requestId: string;
  readonly res: Response;
  /** What the head of every answer to it says: names and values in turn. Nothing is set on `res`. */
  readonly head: string[];
  readonly path: string;
  readonly surface: Surface;
  readonly request: InferenceRequest;
  /** What is asked about the request, where it is not to be carried out. */
  readonly foretells: 'decision' | 'estimate' | null;
  readonly payer: Principal | Unpaid | null;
  readonly options: RequestOptions;
  readonly idempotencyKey: IdempotencyKey | null;
  /** Fixed here for all that the request will cost. */
  readonly picoUsdPerMsat: PicoUsdPerMsat;
  /** On the monotonic clock. */
  readonly startedAt: number;
  readonly clientRequestId: string | undefined;
  /** What is observed of it. */
  readonly trail: Trail;
}

export interface IncomingDeps {
  payers: Payers;
  exchangeRate: ExchangeRate;
  models: { readonly allowParameters: ReadonlySet<string> };
}

/** More than other bodies may hold: the inputs of embeddings may be lists of tokens. */
const MOST_EMBEDDING_VALUES = 350_000;

/** A request whose body is on its way. */
export interface Arriving {
  readonly req: Request;
  readonly res: Response;
  readonly route: InferenceRoute;
  readonly head: string[];
  /** Who showed a credential when it came. */
  readonly payer: Principal | Unpaid | null;
  readonly body: Promise<Buffer>;
  readonly trail: Trail;
}

/** Reads a request once its body is here. Rejects with what its client is to be told. */
export async function readIncoming({ payers, exchangeRate, models }: IncomingDeps, arriving: Arriving): Promise<Incoming> {
  const { req, res, route, head, trail } = arriving;
  const { path, surface, streamDefault } = route;
  const startedAt = performance.now();
  const cameWhole = req.complete;
  const body = await arriving.body;
  // The body may have taken minutes: who pays is who pays now, and nobody who has paid meanwhile is asked to pay again.
  const payer = arriving.payer && ('unpaid' in arriving.payer || !cameWhole) ? await payers.identify(req) : arriving.payer;
  refuseOtherTypes(req);
  const bodySha256 = hash('sha256', body, 'hex');
  head.push('X-Pura-Body-Sha256', bodySha256);
  const picoUsdPerMsat = exchangeRate.current();
  const options = readRequestOptions(req, picoUsdPerMsat);
  const { clientRequestId } = options;
  const { allowParameters } = models;
  const limits = surface.operation === 'embed' ? { maxValues: MOST_EMBEDDING_VALUES } : {};
  const request = surface.parse(parseBody(body, limits), { streamDefault, allowParameters, headers: req.headers });
  const idempotencyKey = idempotencyKeyOf(req.headers['idempotency-key'], path, Buffer.from(bodySha256, 'hex'));
  if (request.routing.quality) head.push('X-Pura-Quality', request.routing.quality);
  const requestId = res.locals['requestId'] as string;
  const foretells = route.estimates ? 'estimate' : request.decisionOnly ? 'decision' : null;
  return {
    ...{ requestId, res, head, path, surface, request, foretells, payer, options, idempotencyKey },
    ...{ picoUsdPerMsat, startedAt, clientRequestId, trail },
  };
}

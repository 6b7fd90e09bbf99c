import type { ServerResponse } from 'node:http';
import type { RateLimit } from '../admission/rate-limit.ts';
import type { Config } from '../config/config.ts';
import { GatewayError } from '../errors.ts';
import type { Deliveries } from '../ledger/deliveries.ts';
import type { Holds } from '../ledger/holds.ts';
import type { Logger } from '../log.ts';
import type { UpstreamAnswer } from '../providers/provider.ts';
import type { Deployment } from '../models/deployment.ts';
import {
  accountHead,
  costHead,
  errorEvent,
  headersOf,
  headOf,
  jsonBody,
  pendingComment,
  providerHead,
  settledComment,
  STREAM_DONE,
  usageChunk,
  type Head,
  type Timing,
} from './answer.ts';
import type { Answered, Attempt, Dispatched } from './dispatch.ts';
import type { Exchange } from './exchange.ts';
import { billedUsage, outcomeOf } from '../metering/billed-usage.ts';
import { refusalBody, streamFailure, type ErrorObject } from '../providers/provider-reason.ts';
import type { Recorder } from '../records/usage-record.ts';
import type { Replay } from '../records/stored-answer.ts';
import { lastingStreamHead } from './stream-head.ts';
import { billOf, NOTHING_BILLED, settle, type Bill, type Settled } from './settle.ts';

export interface ConcludeDeps {
  config: Pick<Config, 'markupBasisPoints'>;
  log: Logger;
  holds: Holds;
  deliveries: Deliveries;
  rateLimit: RateLimit;
  recorder: Recorder;
}

type Of<Kind extends Answered['kind']> = Extract<Answered, { kind: Kind }>;

/** Bills how a dispatch ended, settles it, and finishes the client's answer. Rejects with what the client is to be told where nothing was sent. */
export async function conclude(deps: ConcludeDeps, exchange: Exchange, dispatched: Dispatched): Promise<void> {
  switch (dispatched.kind) {
    case 'failed':
      return fail(deps, exchange, dispatched.attempts);
    case 'refused':
      return passRefusal(deps, exchange, dispatched);
    case 'client_gone':
      return settleAbandoned(deps, exchange, dispatched);
    case 'json':
      return answerJson(deps, exchange, dispatched);
    case 'stream':
      return finishStream(deps, exchange, dispatched);
  }
}

/** Gives the answer of an earlier request with the same Idempotency-Key and body, under that request's id. */
export function replay(res: ServerResponse, head: Head, { answer, requestId, ...figures }: Replay): void {
  const { status, headers, stream, body } = answer;
  const ending = stream ? Buffer.concat([Buffer.from(settledComment({ ...figures, requestId })), STREAM_DONE]) : Buffer.alloc(0);
  // A stream that waited long for its hold, and found the key taken in the end, has its head already.
  if (!res.headersSent) {
    res.writeHead(status, {
      ...headersOf(head),
      ...headers,
      'X-Pura-Request-Id': requestId,
      'Idempotency-Replayed': 'true',
      'Content-Length': body.length + ending.length,
    });
  }
  res.end(Buffer.concat([body, ending]));
}

/** No candidate answered: nothing is charged, and the free slot goes back. */
async function fail(deps: ConcludeDeps, exchange: Exchange, attempts: Attempt[]): Promise<void> {
  const settled = await settle(deps, held(exchange), null, { maybeSwept: exchange.cancellation.reason === 'lease_lost' });
  deps.rateLimit.refundTokens(exchange.ticket);
  const { reason } = exchange.cancellation;
  if (reason === 'client_gone') return record(deps, exchange, 'client_gone', 499, null, NOTHING_BILLED);
  record(deps, exchange, 'upstream_error', 503, null, NOTHING_BILLED);
  const error =
    reason === undefined
      ? allFailed(attempts, exchange.ticket.headers)
      : new GatewayError('overloaded', { retryAfter: 1, cause: `given up: ${reason}` });
  if (!exchange.client?.opened) throw error;
  exchange.client.end(errorEvent(error, closingComment(exchange, settled, NOTHING_BILLED)));
}

/** Names each attempt, to the client with the provider's own words. The wait is the shortest that a provider asks for. */
function allFailed(attempts: readonly Attempt[], headers: Readonly<Record<string, string>>): GatewayError {
  const waits = attempts.map(({ retryAfterSeconds }) => retryAfterSeconds).filter((wait) => wait !== null);
  const isOperators = attempts.length > 0 && attempts.every(({ operatorsFault }) => operatorsFault);
  const retryAfter = waits.length > 0 ? Math.min(...waits) : 1;
  const told = attempts.map(({ providerId, reason, words }) => `${providerId}: ${reason}${words === null ? '' : `: ${words}`}`);
  return new GatewayError('upstream_error', {
    message: `No provider could answer this request (${told.join('; ')}).`,
    ...(waits.length > 0 || !isOperators ? { retryAfter } : {}),
    headers: { ...headers, ...(isOperators && { 'x-should-retry': 'false' }) },
    cause: attempts.map(({ providerId, reason }) => `${providerId}: ${reason}`).join('; '),
  });
}

/** The provider found fault with the request: the client gets its word for it, and pays nothing. */
async function passRefusal(deps: ConcludeDeps, exchange: Exchange, { deployment, answer, body }: Of<'refused'>): Promise<void> {
  const settled = await settle(deps, held(exchange), null);
  deps.rateLimit.refundTokens(exchange.ticket);
  record(deps, exchange, 'refused', answer.status, deployment, NOTHING_BILLED, answer);
  const verdict = settled.state === 'settled' ? settled.verdict : exchange.hold;
  const payload = refusalBody(answer.status, body);
  if (exchange.client?.opened) {
    exchange.client.end(errorEvent(JSON.parse(payload.toString()) as ErrorObject, closingComment(exchange, settled, NOTHING_BILLED)));
    return;
  }
  const head = [
    ...exchange.head,
    ...providerHead(deployment, answer, exchange),
    ...headOf(exchange.ticket.headers),
    ...accountHead(verdict),
    ...costHead(NOTHING_BILLED.costPicoUsd, NOTHING_BILLED.costMsat, 'settled'),
    'Content-Type',
    'application/json',
    'Content-Length',
    String(payload.length),
  ];
  exchange.res.writeHead(answer.status, head).end(payload);
}

/** The client left before anything came: what the model did meanwhile is billed. */
async function settleAbandoned(deps: ConcludeDeps, exchange: Exchange, dispatched: Of<'client_gone'>): Promise<void> {
  const bill = await billFor(deps, exchange, dispatched);
  const settled = await settle(deps, held(exchange), bill);
  correctTokens(deps, exchange, bill);
  record(deps, exchange, settled.state === 'lost' ? 'lease_lost' : 'client_gone', 499, dispatched.deployment, bill ?? NOTHING_BILLED);
}

/** Settles, then answers: an answer whose charge is not in the ledger is not delivered, and costs nothing. */
async function answerJson(deps: ConcludeDeps, exchange: Exchange, dispatched: Of<'json'>): Promise<void> {
  const { deployment, answer, firstByteAt } = dispatched;
  const bill = (await billFor(deps, exchange, dispatched)) ?? NOTHING_BILLED;
  const timing = timingOf(exchange, firstByteAt);
  const body = jsonBody(dispatched.verbatim, deployment, bill, timing);
  const lasting = [
    'Content-Type',
    'application/json; charset=utf-8',
    ...providerHead(deployment, answer, exchange),
    ...costHead(bill.costPicoUsd, bill.costMsat, 'settled'),
    'X-Pura-Charged-Msat',
    bill.chargeMsat.toString(),
  ];
  const sealed = exchange.keeping?.seal({ status: 200, headers: storedHeaders(lasting, exchange), stream: false, body });
  const settled = await settle(deps, held(exchange), bill, { answer: sealed, unlessLate: true });
  if (settled.state !== 'settled') {
    record(deps, exchange, 'unsettled', 503, deployment, NOTHING_BILLED, answer, timing);
    throw new GatewayError('database_unavailable', { retryAfter: 1, cause: `settlement ${settled.state}` });
  }
  correctTokens(deps, exchange, bill);
  record(deps, exchange, 'ok', 200, deployment, bill, answer, timing);
  exchange.res
    .writeHead(200, [
      ...exchange.head,
      ...lasting,
      ...headOf(exchange.ticket.headers),
      ...accountHead(settled.verdict),
      'Content-Length',
      String(body.length),
    ])
    .end(body);
  settled.delivery?.done();
}

/** Settles what was delivered, then ends the stream with the settled figures. */
async function finishStream(deps: ConcludeDeps, exchange: Exchange, dispatched: Of<'stream'>): Promise<void> {
  const { deployment, answer, end } = dispatched;
  const { client, request, requestId } = exchange;
  const bill = await billFor(deps, exchange, dispatched);
  const timing = timingOf(exchange, end.deliveredAt);
  const whole = end.reason === 'complete';
  const tail = whole && request.includeUsage && bill ? usageChunk(end.usageSeen, requestId, deployment, bill, timing) : Buffer.alloc(0);
  const kept = whole ? exchange.kept?.bytes() : null;
  const stored = kept && {
    status: 200,
    headers: storedHeaders(lastingStreamHead(exchange, deployment, answer), exchange),
    stream: true,
    body: Buffer.concat([kept, tail]),
  };
  const settled = await settle(deps, held(exchange), bill, {
    answer: stored ? exchange.keeping?.seal(stored) : undefined,
    maybeSwept: end.reason === 'lease_lost',
  });
  correctTokens(deps, exchange, bill);
  record(
    deps,
    exchange,
    settled.state === 'lost' ? 'lease_lost' : whole ? 'ok' : end.reason,
    whole ? 200 : end.reason === 'client_gone' ? 499 : 502,
    deployment,
    bill ?? NOTHING_BILLED,
    answer,
    timing,
  );
  if (end.reason === 'client_gone') return;
  if (end.reason === 'lease_lost' || settled.state === 'lost') {
    exchange.res.destroy();
    return;
  }
  const comment = closingComment(exchange, settled, bill ?? NOTHING_BILLED, deployment);
  if (whole) {
    client?.end(Buffer.concat([tail, Buffer.from(comment), STREAM_DONE]));
    return;
  }
  const censor = (text: string): string => deployment.provider.censor?.(text) ?? text;
  client?.end(errorEvent(streamFailure(end.failure, censor), comment));
}

/** @param deployment who answered, if anybody did: told again where the head had to go out before that was known. */
function closingComment({ requestId, hold, client }: Exchange, settled: Settled, bill: Bill, deployment?: Deployment): string {
  if (settled.state !== 'settled') return pendingComment(requestId);
  const { chargedMsat, availableMsat } = settled.verdict;
  const served =
    deployment && client?.namedModel !== deployment.model ? { provider: deployment.provider.id, model: deployment.model } : undefined;
  return settledComment({ ...bill, chargedMsat, availableMsat, funding: hold.funding ?? 'wallet', requestId, served });
}

function storedHeaders(lasting: Head, { hold }: Exchange): ReturnType<typeof headersOf> {
  return headersOf([...lasting, 'X-Pura-Funding', hold.funding ?? 'wallet']);
}

function held({ requestId, key, hold, lease }: Exchange) {
  return { requestId, accountId: key.accountId, hold, lease };
}

async function billFor({ config }: ConcludeDeps, exchange: Exchange, dispatched: Answered): Promise<Bill | null> {
  const usage = await billedUsage(outcomeOf(exchange, dispatched));
  return usage && billOf(usage, dispatched.deployment.rateCard, config.markupBasisPoints, exchange.hold, exchange.rate);
}

function timingOf({ startedAt }: Exchange, firstByteAt: number | null): Timing {
  return { latencyMs: performance.now() - startedAt, ttftMs: firstByteAt === null ? null : firstByteAt - startedAt };
}

function correctTokens({ rateLimit }: ConcludeDeps, { ticket }: Exchange, bill: Bill | null): void {
  rateLimit.correct(ticket, bill ? bill.usage.promptTokens + bill.usage.completionTokens : 0);
}

function record(
  { recorder, log, config }: ConcludeDeps,
  exchange: Exchange,
  outcome: string,
  status: number,
  deployment: Deployment | null,
  bill: Bill,
  answer?: UpstreamAnswer,
  timing: Timing = timingOf(exchange, null),
): void {
  const { requestId, key, path, request, hold, rate, choice, clientRequestId } = exchange;
  if (bill.overrunPicoUsd > 0n) log.warn({ requestId, overrunPicoUsd: String(bill.overrunPicoUsd) }, 'an answer cost more than its hold');
  // Every ending comes by here: what the request took of its network's free share becomes what it cost.
  exchange.free?.correct(bill.costPicoUsd);
  const upstreamId = answer?.headers['x-request-id'];
  recorder.add({
    id: requestId,
    accountId: key.accountId,
    keyId: key.id,
    path,
    requestedModel: request.model,
    model: deployment?.model ?? null,
    provider: deployment?.provider.id ?? null,
    tier: deployment?.tier ?? choice.tier,
    stream: request.stream,
    outcome,
    status,
    errorCode: outcome === 'upstream_error' ? 'upstream_error' : null,
    funding: hold.funding,
    promptTokens: bill.usage.promptTokens,
    completionTokens: bill.usage.completionTokens,
    cachedTokens: bill.usage.cachedTokens,
    reasoningTokens: bill.usage.reasoningTokens,
    cacheWriteTokens: bill.usage.cacheWriteTokens,
    costPicoUsd: bill.costPicoUsd,
    costMsat: bill.costMsat,
    chargedMsat: bill.chargeMsat,
    picoUsdPerMsat: rate,
    priceVersion: deployment?.rateCard.priceVersion ?? null,
    pricedAs: deployment?.pricedAs ?? null,
    markupBasisPoints: config.markupBasisPoints,
    latencyMs: timing.latencyMs,
    ttftMs: timing.ttftMs,
    explored: choice.explored,
    upstreamRequestId: typeof upstreamId === 'string' ? upstreamId : null,
    clientRequestId: clientRequestId ?? null,
  });
}

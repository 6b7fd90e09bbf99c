import type { RateLimit } from '../admission/rate-limit.ts';
import type { Config } from '../config/config.ts';
import { picoUsd } from '../amount.ts';
import { GatewayError } from '../errors.ts';
import type { Observe, RequestAnswer } from '../observation.ts';
import { NOTHING_BILLED, type Bill } from '../metering/bill.ts';
import { costOfUsage } from '../pricing/cost.ts';
import { retryAfterOf } from '../providers/provider-failure.ts';
import type { Deployment } from '../models/deployment.ts';
import type { Replay } from '../records/stored-answer.ts';
import type { WarmCaches } from '../routing/warm-caches.ts';
import { promptTokensOf } from '../wires/usage.ts';
import type { Outcome, RecordedStep, Recorder, UsageRecord } from '../records/usage-record.ts';
import type { Call, Ending, UnderWay } from './call.ts';
import type { Timing } from './figures.ts';
import { accountHead, costHead, headersOf, headOf, providerHead } from './head.ts';
import { climbFigures } from './climb.ts';
import { keepWarm } from './keep-warm.ts';
import { chargedOf, lossesOf, undeliveredCost, type Spending } from './losses-of.ts';
import { pendingComment, settledComment } from './last-words.ts';
import { isInOnePiece, type Reply } from './reply.ts';
import type { Settled } from './settle.ts';

export interface FinishDeps {
  config: Pick<Config, 'markupBasisPoints'>;
  observe: Observe;
  rateLimit: RateLimit;
  recorder: Recorder;
  warm: WarmCaches;
}

/** How a request ended, all told. */
export interface Finished {
  readonly ending: Ending;
  readonly bill: Bill;
  readonly reply: Reply;
  readonly settled: Settled;
  readonly timing: Timing;
}

/** The last words to the client, the record, and the limits corrected. Rejects with what the client is to be told where nothing was sent. */
export function finish(deps: FinishDeps, underWay: UnderWay, finished: Finished): void {
  const { grant } = underWay;
  const { bill } = finished;
  const { outcome, status } = outcomeOf(underWay, finished);
  if (finished.ending.kind === 'refused' || finished.ending.kind === 'failed') deps.rateLimit.refundTokens(grant.ticket);
  else if (outcome !== 'unsettled') deps.rateLimit.correct(grant.ticket, promptTokensOf(bill.usage) + bill.usage.output);
  record(deps, underWay, finished, outcome, status);
  keepWarm(deps.warm, underWay, finished.ending, bill, outcome === 'ok');
  tell(underWay, finished);
}

/** Gives the answer of an earlier request with the same Idempotency-Key and body, under that request's id. */
export function replay({ res, head, surface }: Pick<Call, 'res' | 'head' | 'surface'>, { answer, requestId, ...figures }: Replay): void {
  const { status, headers, stream, body, lastBytes } = answer;
  const lastAt = body.length - lastBytes;
  const comment = stream ? settledComment({ ...figures, requestId }) : '';
  const whole = Buffer.concat([body.subarray(0, lastAt), Buffer.from(comment), body.subarray(lastAt)]);
  // A stream that waited long for its hold, and found the key taken in the end, has its head already.
  if (!res.headersSent) {
    const { requestIdHeader } = surface;
    res.writeHead(status, {
      ...headersOf(head),
      ...headers,
      'X-Pura-Request-Id': requestId,
      ...(requestIdHeader !== undefined && { [requestIdHeader]: requestId }),
      'Idempotency-Replayed': 'true',
      'Content-Length': whole.length,
    });
  }
  res.end(whole);
}

function outcomeOf({ grant }: UnderWay, { ending, bill, reply, settled }: Finished): { outcome: Outcome; status: number } {
  const { reason } = grant.cancellation;
  // Another gateway may have settled it at a checkpoint, for less.
  const isOurs = settled.state === 'pending' || (settled.state === 'settled' && settled.verdict.costPicoUsd === bill.costPicoUsd);
  if (isInOnePiece(reply) && settled.state !== 'settled') return { outcome: 'unsettled', status: 503 };
  switch (ending.kind) {
    case 'failed':
      return reason === 'client_gone' ? { outcome: 'client_gone', status: 499 } : { outcome: 'upstream_error', status: 503 };
    case 'refused':
      return { outcome: 'refused', status: ending.answer.status };
    case 'client_gone':
      return { outcome: isOurs ? 'client_gone' : 'lease_lost', status: 499 };
    case 'json':
      return { outcome: 'ok', status: 200 };
    case 'stream': {
      const how = ending.end.reason;
      const status = how === 'complete' ? 200 : how === 'client_gone' ? 499 : 502;
      return { outcome: isOurs ? (how === 'complete' ? 'ok' : how) : 'lease_lost', status };
    }
  }
}

function tell(underWay: UnderWay, { ending, bill, reply, settled }: Finished): void {
  const { call } = underWay;
  const { client, surface, requestId } = call;
  switch (reply.kind) {
    case 'json':
      return tellJson(underWay, reply, settled);
    case 'nothing':
      if (ending.kind === 'stream' && ending.end.reason === 'lease_lost') call.res.destroy();
      return;
    case 'error':
      if (!client?.opened) throw reply.error;
      client.end(closingComment(underWay, ending, settled, bill) + surface.errorEvents(reply.error.toJSON(), requestId));
      return;
    case 'refusal':
      if (client?.opened) client.end(closingComment(underWay, ending, settled, bill) + surface.errorEvents(reply.error, requestId));
      else tellRefusal(underWay, ending, reply, settled);
      return;
    case 'broken_stream':
      if (settled.state === 'lost') call.res.destroy();
      else client?.end(closingComment(underWay, ending, settled, bill) + surface.errorEvents(reply.error, requestId));
      return;
    case 'last_events': {
      const { first, ending: end } = reply;
      if (first && settled.state !== 'settled') throw unsettled(settled);
      if (settled.state === 'lost') return void call.res.destroy();
      if (first) client?.setHead(first.head);
      if (first) client?.write(first.events);
      client?.end(Buffer.concat([end.usage, Buffer.from(closingComment(underWay, ending, settled, bill)), end.last]));
      if (settled.state === 'settled') settled.delivery?.done();
    }
  }
}

function unsettled({ state }: Settled): GatewayError {
  return new GatewayError('database_unavailable', { retryAfter: 1, cause: `settlement ${state}` });
}

/** An answer whose charge is not in the ledger is not delivered, and costs nothing. */
function tellJson({ call, grant }: UnderWay, { head, body }: Extract<Reply, { kind: 'json' }>, settled: Settled): void {
  if (settled.state !== 'settled') throw unsettled(settled);
  const { res } = call;
  const rest = [...headOf(grant.ticket.headers), ...accountHead(settled.verdict), 'Content-Length', String(body.length)];
  res.writeHead(200, [...call.head, ...head, ...rest]).end(body);
  settled.delivery?.done();
}

function tellRefusal(underWay: UnderWay, ending: Ending, { body }: Extract<Reply, { kind: 'refusal' }>, settled: Settled): void {
  if (ending.kind !== 'refused') return;
  const { call, grant } = underWay;
  const wait = ending.answer.status === 429 ? retryAfterOf(ending.answer.headers, ending.text) : null;
  const verdict = settled.state === 'settled' ? settled.verdict : grant.hold;
  const head = [
    ...call.head,
    ...providerHead(underWay, ending.candidate, ending.answer),
    ...headOf(grant.ticket.headers),
    ...accountHead(verdict),
    ...costHead(NOTHING_BILLED.costPicoUsd, NOTHING_BILLED.costMsat, 'settled'),
    ...(wait === null ? [] : ['Retry-After', String(wait)]),
    'Content-Type',
    'application/json',
    'Content-Length',
    String(body.length),
  ];
  call.res.writeHead(ending.answer.status, head).end(body);
}

/** Who answered, if anybody did, is told again where the head had to go out before that was known. */
function closingComment({ call, grant, climb }: UnderWay, ending: Ending, settled: Settled, bill: Bill): string {
  const { requestId, client } = call;
  if (settled.state !== 'settled') return pendingComment(requestId);
  const { chargedMsat, availableMsat } = settled.verdict;
  const deployment = ending.kind === 'stream' ? ending.candidate.deployment : undefined;
  const served =
    deployment && client?.namedModel !== deployment.model ? { provider: deployment.provider.id, model: deployment.model } : undefined;
  return settledComment({
    ...{ ...bill, chargedMsat, availableMsat, funding: grant.hold.funding ?? 'wallet', requestId, served },
    climb: climbFigures(climb, bill),
  });
}

function record(
  { recorder, observe, config }: FinishDeps,
  underWay: UnderWay,
  { timing, ...spending }: Finished,
  outcome: Outcome,
  status: number,
): void {
  const { call, plan, grant, climb } = underWay;
  const { ending, bill: billed } = spending;
  const { trail } = call;
  const { requestId, apiKey, path, request, clientRequestId } = call;
  const bill = outcome === 'unsettled' ? NOTHING_BILLED : billed;
  if (bill.overrunPicoUsd > 0n) observe({ kind: 'answer_cost_more', requestId, overrunPicoUsd: bill.overrunPicoUsd });
  // Every ending comes by here: what the request took of its network's free share becomes what it cost.
  grant.free?.correct(bill.costPicoUsd);
  const deployment = ending.kind === 'failed' ? null : ending.candidate.deployment;
  const upstreamId = 'answer' in ending ? ending.answer.headers['x-request-id'] : undefined;
  const errorCode = outcome === 'upstream_error' ? 'upstream_error' : null;
  trail.end(outcome, status, errorCode);
  trail.answer = answerOf(underWay, { ...spending, owed: bill, deployment, ttftMs: timing.ttftMs }, config);
  recorder.add({
    id: requestId,
    accountId: apiKey.accountId,
    keyId: apiKey.id,
    path,
    requestedModel: request.model,
    model: deployment?.model ?? null,
    provider: deployment?.provider.id ?? null,
    tier: deployment?.tier ?? plan.tier,
    stream: request.stream,
    outcome,
    status,
    errorCode,
    funding: grant.hold.funding,
    usage: bill.usage,
    costPicoUsd: bill.costPicoUsd,
    costMsat: bill.costMsat,
    chargedMsat: bill.chargeMsat,
    picoUsdPerMsat: call.picoUsdPerMsat,
    priceVersion: climb ? null : (deployment?.rateCard.priceVersion ?? null),
    pricedAs: climb ? null : (deployment?.pricedAs ?? null),
    markupBasisPoints: config.markupBasisPoints,
    latencyMs: timing.latencyMs,
    ttftMs: timing.ttftMs,
    explored: plan.explored,
    routing: routingOf(plan),
    attempts: grant.asked.map(({ candidate: { deployment: asked }, ...tried }) => ({
      provider: asked.provider.id,
      model: asked.model,
      ...tried,
    })),
    upstreamRequestId: typeof upstreamId === 'string' ? upstreamId : null,
    clientRequestId: clientRequestId ?? null,
    steps: stepsOf(underWay, ending, bill, config),
  });
}

interface Answered extends Spending {
  /** What is owed for it in the end. */
  readonly owed: Bill;
  readonly deployment: Deployment | null;
  readonly ttftMs: number | null;
}

/** What is observed of an answer. Under the caller's own key it costs the operator nothing. */
function answerOf(underWay: UnderWay, { owed, deployment, ttftMs, ...spending }: Answered, config: FinishDeps['config']): RequestAnswer {
  const { usage, costPicoUsd, costMsat } = owed;
  const { bill, settled } = spending;
  const isOwnKey = underWay.grant.hold.funding === 'byok';
  const undelivered = bill === NOTHING_BILLED ? undeliveredCost(underWay, spending.ending, config) : picoUsd(0n);
  return {
    deployment,
    usage,
    ttftMs,
    costPicoUsd,
    costMsat,
    providerCostPicoUsd: isOwnKey ? 0n : ((bill.cost.totalPicoUsd + undelivered) * WHOLE) / (WHOLE + config.markupBasisPoints),
    chargedMsat: chargedOf(owed, settled),
    losses: lossesOf(underWay, spending, undelivered),
  };
}

/** In hundredths of a per cent. */
const WHOLE = 10_000n;

function routingOf({ decision, exploreOdds }: UnderWay['plan']): UsageRecord['routing'] {
  if (!decision) return null;
  const { difficulty, expectedError, costAdjustedScore: score } = decision;
  return { exploreOdds, difficulty, expectedError, score };
}

/** What a cascade's bill is made of; null without one. */
function stepsOf(
  { climb }: UnderWay,
  ending: Ending,
  { spent }: Bill,
  { markupBasisPoints }: FinishDeps['config'],
): readonly RecordedStep[] | null {
  if (!climb || ending.kind === 'failed') return climb ? [] : null;
  const answers = [...climb.passed, { candidate: ending.candidate, confidence: climb.confidence }];
  return spent.map(({ usage, rateCard }, index) => {
    const { candidate, confidence } = answers[index] ?? { candidate: ending.candidate, confidence: null };
    const { model, provider, tier, pricedAs } = candidate.deployment;
    const { totalPicoUsd: costPicoUsd } = costOfUsage(usage, rateCard, markupBasisPoints);
    return { model, provider: provider.id, tier, usage, costPicoUsd, priceVersion: rateCard.priceVersion, pricedAs, confidence };
  });
}

import { refusalError, streamFailure } from '../providers/provider-reason.ts';
import { GatewayError } from '../errors.ts';
import type { Bill } from '../metering/bill.ts';
import type { StoredAnswer } from '../records/stored-answer.ts';
import type { Ending as StreamEnding, ErrorObject, JsonObject, WireName } from '../wires/wire.ts';
import { translatedBody } from '../wires/translate.ts';
import { answerContext } from './answer-context.ts';
import type { Attempt, Ending, UnderWay } from './call.ts';
import { censored } from './credential.ts';
import { climbHead } from './climb.ts';
import type { StreamHead } from './client-stream.ts';
import { figuresOf, type Timing } from './figures.ts';
import { costHead, headersOf, lastingStreamHead, providerHead, streamHead, type Head } from './head.ts';

type Of<Kind extends Ending['kind']> = Extract<Ending, { kind: Kind }>;

/** What is left to tell the client once its request is settled. All of it is made before, so that the settlement can store it. */
export type Reply =
  | { readonly kind: 'json'; readonly head: Head; readonly body: Buffer }
  /** The last events of a whole stream; where all of it was held back, also its head and what goes before them. */
  | { readonly kind: 'last_events'; readonly ending: StreamEnding; readonly first: { head: StreamHead; events: Buffer } | null }
  /** A provider's word for what is wrong with the request. */
  | { readonly kind: 'refusal'; readonly error: ErrorObject; readonly body: Buffer }
  /** A stream that broke off. */
  | { readonly kind: 'broken_stream'; readonly error: ErrorObject }
  | { readonly kind: 'error'; readonly error: GatewayError }
  | { readonly kind: 'nothing' };

/**
 * Whether a client has nothing of an answer before it is settled: JSON, and a stream that was held back to be judged. It goes out once its
 * charge is in the ledger, or not at all.
 */
export function isInOnePiece(reply: Reply): boolean {
  return reply.kind === 'json' || (reply.kind === 'last_events' && reply.first !== null);
}

/** What the client is to be told of an ending. */
export function replyTo(underWay: UnderWay, ending: Ending, bill: Bill, timing: Timing): Reply {
  switch (ending.kind) {
    case 'json':
      return jsonReply(underWay, ending, bill, timing);
    case 'stream':
      return streamReply(underWay, ending, bill, timing);
    case 'refused':
      return refusalReply(underWay, ending);
    case 'client_gone':
      return { kind: 'nothing' };
    case 'failed':
      return failureReply(underWay, ending.attempts);
  }
}

function jsonReply(underWay: UnderWay, { candidate, answer, read, verbatim }: Of<'json'>, bill: Bill, timing: Timing): Reply {
  const { call, plan, climb } = underWay;
  const { surface, request } = call;
  const context = answerContext(underWay, candidate.deployment, plan.quote.promptTokens);
  const own: JsonObject = candidate.upstream.wire === surface.wire ? verbatim : translatedBody(surface, read, request, context);
  const head = [
    'Content-Type',
    'application/json; charset=utf-8',
    ...providerHead(underWay, candidate, answer),
    ...costHead(bill.costPicoUsd, bill.costMsat, 'settled'),
    'X-Pura-Charged-Msat',
    bill.chargeMsat.toString(),
    ...climbHead(climb, bill),
  ];
  return { kind: 'json', head, body: Buffer.from(JSON.stringify(surface.withFigures(own, figuresOf(bill, timing), context))) };
}

function streamReply(underWay: UnderWay, { candidate, answer, end, reader }: Of<'stream'>, bill: Bill, timing: Timing): Reply {
  const { call, climb } = underWay;
  if (end.reason === 'complete') {
    const { usage, last } = reader.ending(call.request.includeUsage ? figuresOf(bill, timing) : null);
    const headed = { ...underWay, call: { ...call, head: [...call.head, ...climbHead(climb, bill)] } };
    const first = climb?.held ? { head: streamHead(headed, candidate, answer), events: climb.held } : null;
    return { kind: 'last_events', ending: { usage: call.request.includeUsage ? usage : Buffer.alloc(0), last }, first };
  }
  if (end.reason === 'client_gone' || end.reason === 'lease_lost') return { kind: 'nothing' };
  const isOfOneShape = haveOneShape(candidate.upstream.wire, call.surface.wire);
  return { kind: 'broken_stream', error: streamFailure(end.failure, isOfOneShape, (text) => censored(underWay, candidate, text)) };
}

function refusalReply({ call }: UnderWay, { candidate, answer, text }: Of<'refused'>): Reply {
  const { surface, requestId } = call;
  const { wire } = candidate.upstream;
  const { error, isWhole } = refusalError(answer.status, text, haveOneShape(wire, surface.wire));
  // An error object of the client's own wire goes out as the provider wrote it.
  const asWritten = isWhole && wire === surface.wire;
  return { kind: 'refusal', error, body: Buffer.from(asWritten ? text : JSON.stringify(surface.errorBody(error, requestId))) };
}

/** Whether the error objects of two wires look the same: all of OpenAI's do. */
function haveOneShape(one: WireName, other: WireName): boolean {
  return one === other || (one.startsWith('openai-') && other.startsWith('openai-'));
}

function failureReply({ grant }: UnderWay, attempts: readonly Attempt[]): Reply {
  const { reason } = grant.cancellation;
  if (reason === 'client_gone') return { kind: 'nothing' };
  if (reason === undefined) return { kind: 'error', error: allFailed(attempts, grant.ticket.headers) };
  return { kind: 'error', error: new GatewayError('overloaded', { retryAfter: 1, cause: `given up: ${reason}` }) };
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

/** What of a reply, and of what was sent before it, a repeat with the same Idempotency-Key gets; null where nothing can be kept. */
export function storedAnswer(underWay: UnderWay, ending: Ending, bill: Bill, reply: Reply): StoredAnswer | null {
  const paidBy = ['X-Pura-Funding', underWay.grant.hold.funding ?? 'wallet'];
  if (reply.kind === 'json')
    return { status: 200, headers: headersOf([...reply.head, ...paidBy]), stream: false, body: reply.body, lastBytes: 0 };
  const { grant, climb } = underWay;
  if (climb?.held) grant.copy?.add(climb.held);
  const sent = grant.copy?.bytes();
  if (reply.kind !== 'last_events' || ending.kind !== 'stream' || !sent) return null;
  const { usage, last } = reply.ending;
  return {
    status: 200,
    headers: headersOf([...lastingStreamHead(underWay, ending.candidate, ending.answer), ...climbHead(climb, bill), ...paidBy]),
    stream: true,
    body: Buffer.concat([sent, usage, last]),
    lastBytes: last.length,
  };
}

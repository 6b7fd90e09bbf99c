import type { Lease } from '../ledger/lease.ts';
import { Abort } from '../providers/abort.ts';
import { decodedAnswer } from '../providers/decoded-answer.ts';
import { ProviderError } from '../providers/provider-error.ts';
import type { UpstreamAnswer } from '../providers/provider.ts';
import { choicesOf, failureOf, rawUsageOf } from '../wires/openai-chat/wire-chunk.ts';
import { isWorthDelivering } from '../wires/written.ts';
import { usageFromWire, type ReportedUsage } from '../wires/openai-chat/usage.ts';
import type { Deployment } from '../models/deployment.ts';
import type { Observation, ProviderHealth } from '../routing/health.ts';
import type { Cancellation } from './cancellation.ts';
import { parseExactJson, type ExactJson } from '../wires/exact-json.ts';
import { jsonExtent, type JsonExtent } from '../wires/json-extent.ts';
import type { ClientStream, StreamHead } from './client-stream.ts';
import { collectBody } from '../providers/collect-body.ts';
import { providerFailure, toldFailure, type ProviderFailure } from '../providers/provider-failure.ts';
import { relayStream, type StreamEnd } from './relay.ts';
import type { ChatRequest } from '../wires/openai-chat/request.ts';
import { countOutputTokens } from '../wires/tokens.ts';

/** A request that may be sent: admitted, with the candidates that its hold covers. */
export interface Dispatch {
  /** The client's end of a streamed answer; null where it wants JSON. */
  client: ClientStream | null;
  request: ChatRequest;
  /** In the order of preference. */
  candidates: readonly Deployment[];
  /** The output cap that goes upstream. */
  outputTokens: number;
  accountHash: string;
  clientRequestId: string | undefined;
  lease: Lease;
  cancellation: Cancellation;
  firstByteTimeoutMs: number;
  health: ProviderHealth;
  /** What a stream's head says while this candidate is at it; with its answer once that is here. */
  streamHead: (deployment: Deployment, answer: UpstreamAnswer | null) => StreamHead;
  checkpoint: (deployment: Deployment, deliveredTokens: number) => Promise<boolean>;
  keep?: ((events: Buffer) => void) | undefined;
}

interface Leg {
  deployment: Deployment;
  /** On the monotonic clock. */
  dispatchedAt: number;
}

/** Deeper than any answer, and far from what a recursive writer of JSON could choke on. */
const MOST_DEPTH = 512;
/** Of an answer with more (the log probabilities of a long one are millions) no number is kept in its own words: that would take seconds. */
const MOST_EXACT_VALUES = 100_000;

const utf8 = new TextDecoder();

type AnswerBody = Record<string, unknown>;

/** A candidate's answer, or the client's leaving while one was at it. */
export type Answered =
  | (Leg & {
      kind: 'json';
      answer: UpstreamAnswer;
      body: AnswerBody;
      verbatim: AnswerBody;
      usage: ReportedUsage | null;
      firstByteAt: number;
    })
  | (Leg & { kind: 'stream'; answer: UpstreamAnswer; end: StreamEnd })
  | (Leg & { kind: 'refused'; answer: UpstreamAnswer; body: string })
  | (Leg & { kind: 'client_gone' });

/** How a dispatch ended. `failed`: no candidate gave an answer, and nothing was delivered. */
export type Dispatched = Answered | { kind: 'failed'; attempts: Attempt[] };

/** A candidate's failure. */
export type Attempt = ProviderFailure & { providerId: string };

type Failed = { kind: 'failed'; failure: ProviderFailure };

/** The statuses by which a provider says that the request itself is at fault: no other candidate would take it either. */
const REQUEST_AT_FAULT = new Set([400, 413, 422, 451]);
const JSON_TYPE = /^application\/(?:[\w.+-]+\+)?json\b/i;
const SSE_TYPE = /^text\/event-stream\b/i;
/** Types that say nothing: the body itself decides. */
const ANY_TYPE = /^(?:$|(?:application|binary)\/octet-stream\b|text\/plain\b)/i;

/**
 * Sends the request to one candidate after the other until one answers. The next one is tried only while nothing has
 * been delivered, and never when the provider found the request itself at fault. Never rejects for a provider's failure.
 */
export async function dispatch(d: Dispatch): Promise<Dispatched> {
  const attempts: Attempt[] = [];
  for (const deployment of d.candidates) {
    if (d.cancellation.reason || !d.lease.held()) break;
    const leg: Leg = { deployment, dispatchedAt: performance.now() };
    d.client?.setHead(d.streamHead(deployment, null));
    const result = await attempt(d, leg);
    // What we ended ourselves says nothing about the provider.
    if (!d.cancellation.reason) d.health.observe(deployment.provider.id, observationOf(result, leg));
    if (result.kind !== 'failed') return result;
    if (d.cancellation.reason === 'client_gone') return { ...leg, kind: 'client_gone' };
    attempts.push({ providerId: deployment.provider.id, ...result.failure });
  }
  return { kind: 'failed', attempts };
}

/** Good is an answer that was not broken off; its latency is that of the first word. */
function observationOf(result: Answered | Failed, { dispatchedAt }: Leg): Observation {
  const brokenOff = result.kind === 'stream' && (result.end.reason === 'broke_off' || result.end.reason === 'provider_error');
  const firstByteAt = result.kind === 'json' ? result.firstByteAt : result.kind === 'stream' ? result.end.deliveredAt : null;
  return { ok: result.kind !== 'failed' && !brokenOff, latencyMs: (firstByteAt ?? performance.now()) - dispatchedAt };
}

async function attempt(d: Dispatch, leg: Leg): Promise<Answered | Failed> {
  const { deployment } = leg;
  const { request } = d;
  const abort = new Abort();
  d.cancellation.onAbort = () => abort.abort();
  let silent = false;
  const silence = setTimeout(() => {
    silent = true;
    abort.abort();
  }, d.firstByteTimeoutMs);
  try {
    const body = request.serialise(deployment, d.outputTokens, d.accountHash);
    const upstream = {
      wire: 'openai-chat' as const,
      path: '/chat/completions',
      headers: [],
      body,
      stream: request.stream,
      clientRequestId: d.clientRequestId,
    };
    const received = await deployment.provider.send(upstream, abort);
    if (received.status < 200 || received.status > 299) return await refusalOf(leg, received, abort);
    const answer = decodedAnswer(received, abort);
    if (!d.client) return await readJson(leg, answer);
    if (!isOfType(answer, SSE_TYPE)) throw new ProviderError('protocol', 'the answer is not an event stream');
    const streamed = await stream(d, leg, { answer, client: d.client, abort, onDelivery: () => clearTimeout(silence) });
    return silent && streamed.kind === 'failed' ? failed('timeout') : streamed;
  } catch (error) {
    if (!(error instanceof ProviderError)) throw error;
    // What was not read of its answer is not wanted.
    abort.abort();
    return failed(silent ? 'timeout' : error.kind);
  } finally {
    clearTimeout(silence);
    d.cancellation.onAbort = undefined;
  }
}

type Begun = { answer: UpstreamAnswer; client: ClientStream; abort: Abort; onDelivery: () => void };

async function stream(d: Dispatch, leg: Leg, { answer, client, abort, onDelivery }: Begun): Promise<Answered | Failed> {
  const { deployment, dispatchedAt } = leg;
  client.setHead(d.streamHead(deployment, answer));
  const end = await relayStream({
    answer,
    client,
    dispatchedAt,
    abort: () => abort.abort(),
    lease: d.lease,
    onDelivery,
    countTokens: (text) => countOutputTokens(text, deployment.tokenizer),
    checkpoint: (deliveredTokens) => d.checkpoint(deployment, deliveredTokens),
    keep: d.keep,
  });
  if (!end.delivered && end.reason !== 'client_gone' && end.reason !== 'lease_lost') {
    if (end.reason === 'provider_error') return told('error event', leg, end.failure);
    return failed(end.error instanceof ProviderError ? end.error.kind : 'empty answer');
  }
  return { ...leg, kind: 'stream', answer, end };
}

/** A 4xx about the request goes to the client; anything else is the provider's failure. */
async function refusalOf(leg: Leg, answer: UpstreamAnswer, abort: Abort): Promise<Answered | Failed> {
  const body = await errorText(leg.deployment, answer, abort);
  if (REQUEST_AT_FAULT.has(answer.status)) return { ...leg, kind: 'refused', answer, body };
  return { kind: 'failed', failure: providerFailure(answer, body) };
}

/** The body of an error. The status counts also where the body breaks off or cannot be decoded. */
async function errorText({ provider }: Deployment, answer: UpstreamAnswer, abort: Abort): Promise<string> {
  try {
    const text = (await collectBody(decodedAnswer(answer, abort))).toString('utf8');
    return provider.censor?.(text) ?? text;
  } catch (error) {
    if (!(error instanceof ProviderError) || error.kind === 'aborted') throw error;
    abort.abort();
    return '';
  }
}

function failed(reason: string): Failed {
  return { kind: 'failed', failure: { reason, words: null, operatorsFault: false, retryAfterSeconds: null } };
}

/** The provider told of a failure where its answer should begin. */
function told(reason: string, { deployment: { provider } }: Leg, failure: unknown): Failed {
  return { kind: 'failed', failure: toldFailure(reason, failure, (text) => provider.censor?.(text) ?? text) };
}

function isOfType({ headers }: UpstreamAnswer, wanted: RegExp): boolean {
  const type = String(headers['content-type'] ?? '').trim();
  return wanted.test(type) || ANY_TYPE.test(type);
}

function extentOf(answer: Buffer): JsonExtent {
  return jsonExtent(answer, { values: Infinity, names: 0, depth: MOST_DEPTH, longNumbers: Infinity });
}

async function readJson(leg: Leg, answer: UpstreamAnswer): Promise<Answered | Failed> {
  const firstByteAt = performance.now();
  if (!isOfType(answer, JSON_TYPE)) throw new ProviderError('protocol', 'the answer is not JSON');
  const bytes = await collectBody(answer);
  const { depth, values, longNumbers } = extentOf(bytes);
  if (depth > MOST_DEPTH) throw new ProviderError('protocol', 'the answer is nested too deep');
  let parsed: ExactJson;
  try {
    // A byte order mark may begin it.
    parsed = parseExactJson(utf8.decode(bytes), longNumbers > 0 && values <= MOST_EXACT_VALUES);
  } catch (error) {
    throw new ProviderError('protocol', 'the answer is not JSON', error);
  }
  const failure = failureOf(parsed.value);
  if (failure !== undefined) return told('error answer', leg, failure);
  if (!isCompletion(parsed.value)) throw new ProviderError('protocol', 'the answer is not a completion');
  const body = parsed.value;
  const verbatim = parsed.verbatim as AnswerBody;
  return { ...leg, kind: 'json', answer, body, verbatim, usage: usageFromWire(rawUsageOf(body)), firstByteAt };
}

/** Whether a JSON answer holds something that a model wrote, or says that it is finished. */
function isCompletion(value: unknown): value is AnswerBody {
  if (typeof value !== 'object' || value === null) return false;
  return choicesOf(value).some(isWorthDelivering);
}

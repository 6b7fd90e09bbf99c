import type { Config } from '../config/config.ts';
import type { Holds } from '../ledger/holds.ts';
import { promptTokensOf } from '../metering/billed-usage.ts';
import { ownCount } from '../metering/own-count.ts';
import { Abort } from '../providers/abort.ts';
import { collectBody } from '../providers/collect-body.ts';
import { decodedAnswer } from '../providers/decoded-answer.ts';
import { faultOfAnswer } from '../providers/fault.ts';
import { ProviderError } from '../providers/provider-error.ts';
import { providerFailure, toldFailure, type ProviderFailure } from '../providers/provider-failure.ts';
import type { UpstreamAnswer } from '../providers/provider.ts';
import type { Candidate } from '../routing/candidate.ts';
import { OPEN_GATE, type AttemptOutcome, type Gate, type Pass, type Shut } from '../routing/gate.ts';
import { streamReader } from '../wires/translate.ts';
import type { Asked, Attempt, Call, Grant, Leg, Plan, Tried, UnderWay } from './call.ts';
import { answerContext } from './answer-context.ts';
import { checkpointer } from './checkpoint.ts';
import { Deadline, type Allowance } from './deadline.ts';
import type { StreamClient } from './client-stream.ts';
import { readJsonAnswer } from './json-answer.ts';
import { relayStream } from './relay.ts';
import { censored, credentialOf } from './credential.ts';
import { streamHead } from './head.ts';
import { TIMER, type Timer } from '../timer.ts';
import type { TrailAttempt } from './trail.ts';

export interface ReachDeps {
  config: Pick<Config, 'UPSTREAM_TIMEOUT_SECONDS' | 'markupBasisPoints'>;
  gate: Gate;
  holds: Holds;
  accountHashOf: (call: Call) => string;
  /** Of the silence of providers; the process's own where left out. */
  timer?: Timer | undefined;
}

type Answered = Exclude<Leg, { kind: 'failed' }>;
/** A candidate that the gate lets us ask. */
type Admitted = Asked & { readonly pass: Pass; readonly seen: TrailAttempt };
interface Failed {
  readonly kind: 'failed';
  readonly failure: ProviderFailure;
  /** Whether it is the deployment's fault, or the operator's: not where it had too little time, or told of a fault in the request. */
  readonly isTelling: boolean;
}

/** How an attempt went that says nothing of its deployment. */
export const VOID: AttemptOutcome = { kind: 'void' };

const SSE_TYPE = /^text\/event-stream\b/i;
/** Types that say nothing: the body itself decides. */
const ANY_TYPE = /^(?:$|(?:application|binary)\/octet-stream\b|text\/plain\b)/i;

/**
 * Sends the request to one candidate after the other until one answers, all of them within `UPSTREAM_TIMEOUT_SECONDS`. The next one is
 * tried at once, only while nothing has been delivered, and never when the provider found the request itself at fault. Never rejects for a
 * provider's failure.
 */
export async function reach(deps: ReachDeps, call: Call, plan: Plan, grant: Grant): Promise<Leg> {
  const attempts: Attempt[] = [];
  const { cancellation, lease } = grant;
  const totalMs = deps.config.UPSTREAM_TIMEOUT_SECONDS * 1000;
  const deadline = new Deadline({ totalMs, stream: call.request.stream }, deps.timer);
  for (const [index, candidate] of plan.candidates.entries()) {
    if (cancellation.reason || !lease.held()) break;
    const allowance = deadline.allow({ isLast: index === plan.candidates.length - 1 });
    if (!allowance) break;
    const pass = enter(deps.gate, call, plan, candidate);
    if ('shut' in pass) {
      attempts.push(passedOver(candidate, pass));
      continue;
    }
    const dispatchedAt = performance.now();
    const seen = call.trail.attempt(candidate.deployment, { startedAt: dispatchedAt, stream: call.request.stream });
    const asked: Admitted = { candidate, dispatchedAt, seen, pass: observed(pass, seen) };
    const result = await ask(deps, { call, plan, grant }, asked, allowance);
    if (result.kind !== 'failed') return result;
    if (cancellation.reason === 'client_gone') return { ...asked, kind: 'client_gone' };
    attempts.push({ providerId: candidate.deployment.provider.id, ...result.failure });
  }
  return { kind: 'failed', attempts };
}

/** Leave to ask a candidate. A caller's own key has limits of its own, at an account of its own: the operator's gate is none for it. */
function enter(gate: Gate, { apiKey }: Call, { own }: Plan, { deployment }: Candidate): Pass | Shut {
  return (own ? OPEN_GATE : gate).enter(deployment, apiKey.accountId);
}

/** The same pass; how the attempt went is observed too. */
function observed(pass: Pass, seen: TrailAttempt): Pass {
  return {
    end(outcome) {
      pass.end(outcome);
      seen.end(outcome);
    },
  };
}

/** A candidate that cannot be asked now, and for how long: nothing was sent to it. */
function passedOver({ deployment }: Candidate, { shut, retryAfterSeconds }: Shut): Attempt {
  return {
    providerId: deployment.provider.id,
    reason: `${shut}, ${retryAfterSeconds} s`,
    words: null,
    operatorsFault: false,
    retryAfterSeconds,
  };
}

/** Asks one candidate, and ends its pass on every way out, but for a stream that goes on: that one's ends with its last event. */
async function ask(deps: ReachDeps, underWay: UnderWay, asked: Admitted, allowance: Allowance): Promise<Answered | Failed> {
  const { call, plan, grant } = underWay;
  let outcome: AttemptOutcome | null = VOID;
  const tried: Tried = { candidate: asked.candidate, result: 'broke_off', status: null, latencyMs: 0 };
  try {
    call.client?.setHead(streamHead({ call, plan, grant }, asked.candidate, null));
    grant.asked.push(tried);
    const result = await attempt(deps, underWay, asked, allowance);
    Object.assign(tried, triedWith(result, grant));
    asked.seen.reason = reasonOf(result, grant);
    outcome = result.kind === 'stream' ? null : outcomeOf(result, asked, grant);
    return result;
  } finally {
    tried.latencyMs = performance.now() - asked.dispatchedAt;
    if (outcome) asked.pass.end(outcome);
  }
}

/** For the record. A reason is one of a few words of ours: no provider's. */
function triedWith(result: Answered | Failed, { cancellation }: Grant): Pick<Tried, 'result' | 'status'> {
  if (cancellation.reason === 'client_gone' || result.kind === 'client_gone') return { result: 'client_gone', status: null };
  if (result.kind === 'json' || result.kind === 'stream') return { result: 'ok', status: result.answer.status };
  if (result.kind === 'refused') return { result: 'refused', status: result.answer.status };
  const status = /^HTTP (\d{3})$/.exec(result.failure.reason)?.[1];
  return status ? { result: 'http_error', status: Number(status) } : { result: result.failure.reason.replaceAll(' ', '_'), status: null };
}

function reasonOf(result: Answered | Failed, { cancellation }: Grant): string | null {
  if (cancellation.reason) return null;
  return result.kind === 'failed' ? result.failure.reason : result.kind === 'refused' ? 'refused' : null;
}

/** What an attempt that is over says of its deployment. */
function outcomeOf(
  result: Failed | Exclude<Answered, { kind: 'stream' }>,
  { dispatchedAt }: Asked,
  { cancellation }: Grant,
): AttemptOutcome {
  if (cancellation.reason) return VOID;
  if (result.kind === 'failed') {
    const { reason, retryAfterSeconds } = result.failure;
    return result.isTelling ? { kind: 'fault', reason, retryAfterSeconds } : VOID;
  }
  if (result.kind !== 'json') return VOID;
  const seconds = (performance.now() - dispatchedAt) / 1000;
  return { kind: 'ok', ttftMs: null, outputTokens: result.read.usage?.output ?? 0, seconds };
}

async function attempt(deps: ReachDeps, underWay: UnderWay, asked: Admitted, { ms, telling }: Allowance): Promise<Answered | Failed> {
  const { call, grant } = underWay;
  const { deployment, upstream, rendering } = asked.candidate;
  const abort = new Abort();
  grant.cancellation.onAbort = () => abort.abort();
  let silent = false;
  const answered = (deps.timer ?? TIMER).after(ms, () => {
    silent = true;
    abort.abort();
  });
  let streams = false;
  try {
    const received = await deployment.provider.send(
      {
        wire: upstream.wire,
        path: rendering.path,
        headers: rendering.headers,
        body: rendering.body(grant.hold.tokens, deps.accountHashOf(call)),
        stream: call.request.stream,
        clientRequestId: call.clientRequestId,
        traceparent: asked.seen.traceparent,
        credential: credentialOf(underWay, asked.candidate),
      },
      abort,
    );
    asked.seen.responded(received.status);
    if (received.status < 200 || received.status > 299) return await refusalOf(underWay, asked, received, abort);
    const answer = decodedAnswer(received, abort);
    if (!call.client) {
      const result = await readJsonAnswer(asked.candidate, answer, call.request);
      return 'failure' in result
        ? told('error answer', underWay, asked.candidate, result.failure)
        : { ...asked, kind: 'json', answer, ...result };
    }
    if (!isEventStream(answer)) throw new ProviderError('protocol', 'the answer is not an event stream');
    const leg = await beginStream(deps, underWay, asked, { answer, client: call.client, abort });
    streams = leg.kind === 'stream';
    return silent && leg.kind === 'failed' ? failed('timeout', telling) : leg;
  } catch (error) {
    if (!(error instanceof ProviderError)) throw error;
    // What was not read of its answer is not wanted.
    abort.abort();
    return silent ? failed('timeout', telling) : failed(error.kind);
  } finally {
    answered();
    // A stream that has begun is given up by its cancellation until it ends.
    if (!streams) grant.cancellation.onAbort = undefined;
  }
}

/** Resolves once something of the stream was delivered, or it is known that nothing will be. */
async function beginStream(
  deps: ReachDeps,
  underWay: UnderWay,
  asked: Admitted,
  { answer, client, abort }: { answer: UpstreamAnswer; client: StreamClient; abort: Abort },
): Promise<Answered | Failed> {
  const { call, plan, grant } = underWay;
  const { candidate, dispatchedAt } = asked;
  const { deployment, upstream } = candidate;
  client.setHead(streamHead(underWay, candidate, answer));
  // The bytes of the same wire say the provider's count themselves.
  const promptTokens = upstream.wire === call.surface.wire ? plan.quote.promptTokens : await promptTokensOf(call.request, candidate);
  const reader = streamReader(call.surface, upstream, call.request, answerContext(underWay, deployment, promptTokens));
  const stream = relayStream({
    answer,
    reader,
    events: call.surface.events,
    client,
    dispatchedAt,
    abort: () => abort.abort(),
    lease: grant.lease,
    countTokens: (text) => ownCount(text, deployment),
    checkpoint: checkpointer(deps, { call, grant }, candidate),
    copy: grant.copy,
  });
  await stream.begun;
  if (client.delivered) return { ...asked, kind: 'stream', answer, stream, reader };
  const end = await stream.ended;
  if (end.reason === 'client_gone' || end.reason === 'lease_lost') return { ...asked, kind: 'stream', answer, stream, reader };
  if (end.reason === 'provider_error') return told('error event', underWay, candidate, end.failure);
  return failed(end.error instanceof ProviderError ? end.error.kind : 'empty answer');
}

/** A 4xx about the request goes to the client; anything else is the provider's failure. */
async function refusalOf(underWay: UnderWay, asked: Asked, answer: UpstreamAnswer, abort: Abort): Promise<Answered | Failed> {
  const text = await errorText(underWay, asked.candidate, answer, abort);
  const isOwnKey = underWay.plan.own !== null;
  // Under the caller's own key, a limit that was reached is the caller's too.
  const isTold = faultOfAnswer(answer.status, text, isOwnKey) === 'request' || (isOwnKey && answer.status === 429);
  return isTold
    ? { ...asked, kind: 'refused', answer, text }
    : { kind: 'failed', failure: providerFailure(answer, text, isOwnKey), isTelling: true };
}

/** The body of an error. The status counts also where the body breaks off or cannot be decoded. */
async function errorText(underWay: UnderWay, candidate: Candidate, answer: UpstreamAnswer, abort: Abort): Promise<string> {
  try {
    return censored(underWay, candidate, (await collectBody(decodedAnswer(answer, abort))).toString('utf8'));
  } catch (error) {
    if (!(error instanceof ProviderError) || error.kind === 'aborted') throw error;
    abort.abort();
    return '';
  }
}

function failed(reason: string, isTelling = true): Failed {
  return { kind: 'failed', failure: { reason, words: null, operatorsFault: false, retryAfterSeconds: null }, isTelling };
}

/** The provider told of a failure where its answer should begin. */
function told(reason: string, underWay: UnderWay, candidate: Candidate, failure: unknown): Failed {
  const isOwnKey = underWay.plan.own !== null;
  const { fault, ...read } = toldFailure(reason, failure, { censor: (text) => censored(underWay, candidate, text), isOwnKey });
  return { kind: 'failed', failure: read, isTelling: fault !== 'request' };
}

function isEventStream({ headers }: UpstreamAnswer): boolean {
  const type = String(headers['content-type'] ?? '').trim();
  return SSE_TYPE.test(type) || ANY_TYPE.test(type);
}

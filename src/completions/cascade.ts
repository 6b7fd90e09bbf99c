import { costOfUsage } from '../pricing/cost.ts';
import type { Candidate } from '../routing/candidate.ts';
import { confidenceIn } from '../routing/confidence.ts';
import type { Answer } from '../wires/answer.ts';
import { spentOn } from './billing.ts';
import type { Attempt, Ending, UnderWay } from './call.ts';
import { Cancellation } from './cancellation.ts';
import { depthHead, type Climb, type PassedAnswer } from './climb.ts';
import { deliver } from './deliver.ts';
import { expectedOf } from './expected.ts';
import { HeldStream } from './held-stream.ts';
import { overhear, type Overheard } from './overhear.ts';
import { reach, type ReachDeps } from './reach.ts';

type Answered = Extract<Ending, { kind: 'json' | 'stream' }>;

/** A step that was answered, and how well. */
interface Judged {
  readonly ending: Answered;
  readonly confidence: number | null;
  readonly held: Buffer | null;
}

/** What a cascade came to. */
export interface Climbed {
  readonly ending: Ending;
  readonly climb: Climb;
}

/**
 * Asks one step after the other, the cheapest first, until one answers well enough, or the last one. Of the others the client sees nothing: a
 * stream is held back until it is whole and judged; only the last step's goes out as it is written. All steps are asked under one grant, and
 * each answer is charged, if the client gets one in the end. A step that nobody answers makes the next one its fallback. Where a later step
 * comes to nothing, the client gets the answer before it.
 */
export async function cascade(deps: ReachDeps, underWay: UnderWay): Promise<Climbed> {
  const { call, plan, grant } = underWay;
  const { threshold } = call.request.routing.cascade ?? { threshold: 0 };
  const passed: (Judged & PassedAnswer)[] = [];
  const attempts: Attempt[] = [];
  let depth = 0;
  const climbed = (
    ending: Ending,
    { confidence, held }: Pick<Judged, 'confidence' | 'held'>,
    before: readonly PassedAnswer[],
  ): Climbed => ({
    ending,
    climb: { depth, passed: before, confidence, held, costAtTop: costAtTop(deps, underWay) },
  });
  for (const candidates of plan.steps) {
    if (grant.cancellation.reason || !grant.lease.held()) break;
    depth++;
    const earlier = passed.map(({ spent }) => spent);
    const isLast = depth === plan.steps.length;
    const step = { call, plan: { ...plan, candidates }, grant: { ...grant, earlier } };
    const { ending, answer } = isLast ? await lastStep(deps, step, depth) : await hiddenStep(deps, step);
    if (ending.kind === 'failed') {
      attempts.push(...ending.attempts);
      continue;
    }
    if (!answer) {
      if (ending.kind === 'refused' && passed.length > 0) break;
      return climbed(ending, { confidence: null, held: null }, passed);
    }
    const { confidence } = answer;
    const spent = await spentOn(underWay, answer.ending);
    if (isLast || confidence === null || confidence >= threshold || !spent) return climbed(ending, answer, passed);
    passed.push({ ...answer, confidence, spent, candidate: answer.ending.candidate });
  }
  const best = passed.at(-1);
  if (!best) return climbed({ kind: 'failed', attempts }, { confidence: null, held: null }, []);
  return climbed(best.ending, best, passed.slice(0, -1));
}

/** How a step ended, and its answer where the client may get it. */
interface StepEnd {
  readonly ending: Ending;
  readonly answer: Judged | null;
}

/** The step after which there is none: its stream goes out as it is written. */
async function lastStep(deps: ReachDeps, { call, plan, grant }: UnderWay, depth: number): Promise<StepEnd> {
  const headed = { ...call, head: [...call.head, ...depthHead(depth)] };
  const ending = await deliver(await reach(deps, headed, plan, grant), grant);
  if (ending.kind === 'stream') return { ending, answer: { ending, confidence: null, held: null } };
  if (ending.kind !== 'json') return { ending, answer: null };
  return {
    ending,
    answer: { ending, held: null, confidence: confidenceOf({ call, plan, grant }, ending.candidate, ending.read.answer()) },
  };
}

/** A step that the client sees nothing of until it is judged. */
async function hiddenStep(deps: ReachDeps, underWay: UnderWay): Promise<StepEnd> {
  const { call, plan, grant } = underWay;
  const cancellation = new Cancellation();
  grant.cancellation.onAbort = () => grant.cancellation.reason && cancellation.cancel(grant.cancellation.reason);
  let timeLimit: NodeJS.Timeout | undefined;
  const heldStream = call.client && new HeldStream(call.client, () => cancellation.cancel('time_limit'));
  const overheard = new Map<Candidate, Overheard>(
    plan.candidates.map((candidate) => overhear(candidate)).map((one) => [one.candidate, one]),
  );
  const hidden = { ...grant, cancellation, copy: null };
  try {
    const leg = await reach(deps, { ...call, client: heldStream }, { ...plan, candidates: [...overheard.keys()] }, hidden);
    // From its first word on, it has the time that an answer in one piece has.
    if (leg.kind === 'stream') timeLimit = setTimeout(() => cancellation.cancel('time_limit'), deps.config.UPSTREAM_TIMEOUT_SECONDS * 1000);
    const ending = await deliver(leg, hidden);
    if (ending.kind === 'json') {
      const confidence = confidenceOf(underWay, ending.candidate, ending.read.answer());
      return { ending, answer: { ending, held: null, confidence } };
    }
    if (ending.kind !== 'stream') return { ending, answer: null };
    const whole = undelivered(ending, grant.cancellation);
    if (whole.kind !== 'stream' || whole.end.reason !== 'complete') return { ending: whole, answer: null };
    const answer = overheard.get(whole.candidate)?.answer() ?? { completions: [], usage: null };
    const confidence = confidenceOf(underWay, whole.candidate, answer);
    return { ending: whole, answer: { ending: whole, held: heldStream?.events() ?? null, confidence } };
  } finally {
    clearTimeout(timeLimit);
    grant.cancellation.onAbort = undefined;
  }
}

/**
 * How a stream ended that the client has seen nothing of. One that broke off is a provider's failure like any other before the first word; a
 * client that left pays for what was written meanwhile.
 */
function undelivered(ending: Extract<Ending, { kind: 'stream' }>, { reason }: Cancellation): Ending {
  const { end, candidate } = ending;
  if (end.reason === 'complete') {
    // The client has it from now on, and not from when the provider began.
    return { ...ending, end: { ...end, deliveredAt: performance.now() } };
  }
  if (reason === 'client_gone' || end.reason === 'client_gone') return { ...ending, end: { ...end, reason: 'client_gone' } };
  if (end.reason === 'lease_lost') return { ...ending, end: { ...end, delivered: false } };
  const told = end.reason === 'provider_error' ? 'error event' : 'broken stream';
  const attempt = {
    providerId: candidate.deployment.provider.id,
    reason: told,
    words: null,
    operatorsFault: false,
    retryAfterSeconds: null,
  };
  return { kind: 'failed', attempts: [attempt] };
}

function confidenceOf({ call }: UnderWay, { deployment }: Candidate, answer: Answer): number {
  return confidenceIn(answer, expectedOf(call.request, deployment.tier));
}

function costAtTop({ config }: ReachDeps, { plan }: UnderWay): Climb['costAtTop'] {
  const card = plan.steps.at(-1)?.[0]?.deployment.rateCard;
  return ({ usage, rateCard }) => costOfUsage(usage, card ?? rateCard, config.markupBasisPoints).totalPicoUsd;
}

import type { ErrorCode, GatewayError } from '../errors.ts';
import type {
  AttemptFacts,
  Observe,
  ObservedDeployment,
  RequestAnswer,
  RequestOutcome,
  RequestPlan,
  RequestStages,
  TraceIds,
} from '../observation.ts';
import type { HoldVerdict } from '../ledger/hold.ts';
import type { AttemptOutcome } from '../routing/gate.ts';
import type { Plan } from './call.ts';

/** Gives a request's spans their ids, where requests are traced. */
export interface Tracing {
  /** @param traceparent as the client sent it. */
  begin(requestId: string, traceparent: string | undefined): TraceIds;
  /** The id of a span that others are told of before it has ended. */
  newSpanId(): string;
}

export interface TrailOptions {
  readonly observe: Observe;
  /** Absent where nothing is traced. */
  readonly tracing?: Tracing | undefined;
  readonly requestId: string;
  readonly surface: string;
  readonly path: string;
  readonly traceparent: string | undefined;
}

type TrailPlan = Pick<Plan, 'candidates' | 'tier' | 'explored' | 'decision'>;

/** What an inference request leaves behind on its way: observed as a whole once it has ended, its attempts one by one. */
export class Trail {
  readonly kind = 'request';
  readonly requestId: string;
  readonly surface: string;
  readonly path: string;
  readonly trace: TraceIds | null;
  readonly startedAt = performance.now();
  readonly attempts: AttemptFacts[] = [];
  readonly stages: { -readonly [Stage in keyof RequestStages]: number } = {
    identifiedAt: 0,
    planAt: 0,
    plannedAt: 0,
    admitAt: 0,
    admittedAt: 0,
    settleAt: 0,
    settledAt: 0,
  };
  endedAt = 0;
  outcome: RequestOutcome = 'crashed';
  code: ErrorCode | null = null;
  status = 0;
  funding: 'free' | 'wallet' | 'byok' | null = null;
  plan: RequestPlan | null = null;
  admission: { readonly verdict: string; readonly heldMsat: bigint } | null = null;
  answer: RequestAnswer | null = null;
  readonly #observe: Observe;
  readonly #tracing: Tracing | undefined;

  constructor({ observe, tracing, requestId, surface, path, traceparent }: TrailOptions) {
    this.#observe = observe;
    this.#tracing = tracing;
    this.requestId = requestId;
    this.surface = surface;
    this.path = path;
    this.trace = tracing?.begin(requestId, traceparent) ?? null;
  }

  /** How it ended. The first word counts: an error that is thrown to tell the client of an ending is no other ending. */
  end(outcome: RequestOutcome, status: number, code: ErrorCode | null = null): void {
    if (this.status !== 0) return;
    this.outcome = outcome;
    this.status = status;
    this.code = code;
  }

  planned({ candidates, tier, explored, decision }: TrailPlan): void {
    const now = performance.now();
    this.stages.plannedAt = now;
    this.stages.admitAt = now;
    const chosen = candidates[0]?.deployment ?? null;
    this.plan = { candidates: candidates.length, chosen, tier, explored, isRouted: decision !== null };
  }

  admitted({ verdict, heldMsat, funding }: Pick<HoldVerdict, 'verdict' | 'heldMsat' | 'funding'>): void {
    this.stages.admittedAt = performance.now();
    this.admission = { verdict, heldMsat };
    this.funding = funding;
  }

  /** It ended with what its client is told instead of an answer. */
  refused({ status, code }: GatewayError): void {
    this.end(code === 'internal_error' ? 'crashed' : 'rejected', status, code);
  }

  /** Tells of the whole of it. */
  tell(): void {
    this.endedAt = performance.now();
    this.#observe(this);
  }

  /** Begins an attempt; to be ended once. */
  attempt(deployment: ObservedDeployment, { startedAt, stream }: { startedAt: number; stream: boolean }): TrailAttempt {
    const last = this.attempts.at(-1);
    const traceparent = this.trace && this.#tracing ? { trace: this.trace, spanId: this.#tracing.newSpanId() } : null;
    return new TrailAttempt(deployment, {
      startedAt,
      stream,
      after: last && last.result !== 'ok' ? last.deployment : null,
      traced: traceparent,
      onEnd: (attempt) => {
        this.attempts.push(attempt);
        this.#observe(attempt);
      },
    });
  }
}

interface AttemptBegun {
  readonly startedAt: number;
  readonly stream: boolean;
  readonly after: ObservedDeployment | null;
  readonly traced: { readonly trace: TraceIds; readonly spanId: string } | null;
  readonly onEnd: (attempt: TrailAttempt) => void;
}

/** One attempt at a provider, as it goes. */
export class TrailAttempt implements AttemptFacts {
  readonly kind = 'attempt';
  readonly deployment: ObservedDeployment;
  readonly startedAt: number;
  readonly stream: boolean;
  readonly after: ObservedDeployment | null;
  readonly spanId: string | null;
  endedAt = 0;
  respondedAt: number | null = null;
  status: number | null = null;
  result: AttemptFacts['result'] = 'given_up';
  /** Why it failed, also where that says nothing of its deployment. */
  reason: string | null = null;
  firstChunkMs: number | null = null;
  readonly #begun: AttemptBegun;

  constructor(deployment: ObservedDeployment, begun: AttemptBegun) {
    this.deployment = deployment;
    this.startedAt = begun.startedAt;
    this.stream = begun.stream;
    this.after = begun.after;
    this.spanId = begun.traced?.spanId ?? null;
    this.#begun = begun;
  }

  /** What goes upstream as `traceparent`; null where nothing is traced. */
  get traceparent(): string | null {
    const { traced } = this.#begun;
    return traced && `00-${traced.trace.traceId}-${traced.spanId}-${traced.trace.sampled ? '01' : '00'}`;
  }

  /** The head of an answer is here. */
  responded(status: number): void {
    this.status = status;
    this.respondedAt = performance.now();
  }

  end(outcome: AttemptOutcome): void {
    this.endedAt = performance.now();
    this.result = resultOf(outcome, this.reason);
    if (outcome.kind === 'ok') this.firstChunkMs = outcome.ttftMs;
    this.#begun.onEnd(this);
  }
}

function resultOf(outcome: AttemptOutcome, noted: string | null): AttemptFacts['result'] {
  if (outcome.kind === 'ok') return 'ok';
  const reason = outcome.kind === 'fault' ? outcome.reason : noted;
  if (reason === null) return 'given_up';
  return RESULTS[reason] ?? 'failed';
}

const RESULTS: Partial<Record<string, AttemptFacts['result']>> = { refused: 'refused', 'HTTP 429': 'rate_limited', timeout: 'timeout' };

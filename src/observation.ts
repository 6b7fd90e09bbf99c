import type { ErrorCode, GatewayError } from './errors.ts';

/**
 * All that can be observed of a gateway at work, by kind. What has something to tell calls `observe` with one, and knows nothing of who
 * listens: the readers in `telemetry/` make log lines, metrics and traces of it.
 *
 * To add a kind: write it here with its fields, and give it a line in `telemetry/log-lines.ts`, `null` where it is none; the compiler asks
 * for that. Where it moves a metric, add a case to `telemetry/metrics.ts`. Fields hold ids for the log, and never what people say to models,
 * a secret, a label or a whole address. What is told on the way of every request costs nothing but the object.
 *
 * Times are those of `performance.now()`; money is in msat or pico-dollars, as its name says.
 */
export interface Observed {
  // Requests
  request: RequestFacts;
  attempt: AttemptFacts;
  http_began: { method: string };
  http: HttpFacts;
  /** A limit refused something. */
  refusal: { limit: Limit };
  /** An answer of 500 and more; those of the same kind in the same second are counted. */
  service_failed: { requestId: string | undefined; code: ErrorCode; err: unknown };
  more_failed: { code: ErrorCode; reason: unknown; more: number };
  stream_failed: { requestId: string; code: ErrorCode; err: unknown };
  answer_cost_more: { requestId: string; overrunPicoUsd: bigint };

  // The ledger
  ledger_batch: BatchFacts & { lane: boolean; verdicts: readonly unknown[] };
  record_batch: BatchFacts;
  record_dropped: { requestId: string };
  /** Those of a batch are tried one by one next: one alone is lost. */
  records_not_written: { err: unknown; records: number };
  settlement_late: { requestId: string };
  settlement_foreign: { requestId: string; verdict: string };
  settlement_refused: { requestId: string; err: unknown };
  /** `refundedMsat`: null where another had given it back, or a repeat got the answer. */
  charge_given_back: { requestId: string; refundedMsat: bigint | null };
  refund_late: { requestId: string; err: unknown };
  leases_not_renewed: { err: unknown; holds: number };
  lease_lost: { requestId: string };
  beat_failed: { err: unknown };
  holds_swept: { swept: number };
  dead_gateway_refunded: { instanceId: string; refunded: number; refundedMsat: bigint };
  stored_answers_refunded: { refunded: number; refundedMsat: bigint };
  /** One audit of the ledger has ended: how many violations each invariant has. */
  audit: { violations: ReadonlyMap<number, number> };
  /** Of an audit that an operator began. */
  audit_unfinished: { err: unknown; ranBy: string };
  invariant_broken: { invariant: number; rule: string; violations: number; examples: readonly unknown[] };
  books_differ: { violation: unknown };
  books_not_compared: { err: unknown };

  // Payments
  deposit: Span & { invoiceId: string; receivedMsat: bigint; via: DepositVia; settledAt: Date | null };
  orphan_received: { nodeId: string; paymentHash: string; receivedMsat: bigint };
  credit_late: { err: unknown; invoiceId: string };
  check_failed: { err: unknown; invoiceId: string };
  withdrawal_began: { withdrawalId: string; amountMsat: bigint };
  withdrawal_paid: { withdrawalId: string; amountMsat: bigint; feeMsat: bigint };
  withdrawal_failed: { withdrawalId: string; failure: string };
  /** The house pays what its account did not agree to. */
  withdrawal_above_limit: { withdrawalId: string; feeMsat: bigint; feeLimitMsat: bigint };
  withdrawal_not_sent: { err: unknown; withdrawalId: string };
  withdrawal_unanswered: { err: unknown; withdrawalId: string };
  withdrawal_not_checked: { err: unknown; withdrawalId: string };
  withdrawal_denied: { withdrawalId: string };
  withdrawal_long: { withdrawalId: string; ageSeconds: number; heldMsat: bigint; waitsFor: string };
  lightning_call: Span & { call: string; result: 'ok' | 'failed' };
  lightning_state: { isUp: boolean };
  /** The wallet is away at the start: what is known of its node is good for everything but invoices. */
  wallet_away: { err: unknown; backend: 'lnd' | 'nwc'; nodeId: string };
  /** What is open with an earlier wallet is not followed. */
  old_wallet_away: { err: unknown; setting: string };
  /** Connects afresh to a node that does not answer. */
  lightning_silent: { backend: 'lnd' };
  watcher_progress: object;
  /** Two gateways of different networks share the database. */
  other_network: { err: unknown };
  /** And so this one serves nothing. */
  suspended: { balances: string; wallet: string };
  settlement_waits: { err: unknown };
  subscription_lost: { err: unknown };
  open_elsewhere: { nodeId: string; invoices: number; withdrawals: number };
  /** How an attempt of autopay has ended. */
  autopay_asked: { invoiceId: string; amountSat: number };
  /** A wallet does not say that it has paid. */
  autopay_refused: { invoiceId: string; word: string };
  autopay_not_begun: { err: unknown };
  autopay_broken_off: { err: unknown; invoiceId: string };
  autopay_not_checked: { err: unknown; invoiceId: string };
  autopay_unread: { err: unknown };
  /** Connections whose secret is gone. */
  autopay_unreadable: { lost: number };
  autopay: Span & { invoiceId: string; result: 'paid' | 'unpaid' | 'not_asked' };
  /** `failed`: not by the wallet's own doing. */
  lnurl_request: { tag: 'payRequest' | 'withdrawRequest' | 'login'; result: 'ok' | 'refused' | 'failed' };
  /** Of operators, also who it was, and from which network. */
  sign_in: { how: 'key' | 'wallet' | 'admin'; result: 'ok' | 'refused'; operator?: string; network?: string | null };
  /** An operator has done something that is recorded. */
  operator_acted: { operator: string; act: string; subject: string; actId: string };

  // The rest
  circuit_opened: { deployment: string; reason: string };
  circuit_closed: { deployment: string };
  health_not_shared: { err: unknown };
  /** A public price source was asked for the rate. */
  price_asked: { source: string; result: 'ok' | 'failed'; err?: unknown };
  levels: Levels;
  database_not_ready: { err: unknown };
  /** Live keys that hang on an older secret; not `known`: on one that is gone. */
  older_secret: { secretId: string; keys: number; known: boolean };
  configuration_replaced: { providers: readonly string[]; priceVersion: number; replaced: number };
  configuration_refused: { problems: readonly string[] } | { err: unknown };
  job_failed: { err: unknown; job: string };
}

export type ObservedKind = keyof Observed;
type Of<Kind extends ObservedKind> = Kind extends ObservedKind ? { readonly kind: Kind } & Readonly<Observed[Kind]> : never;
/** One observation; of one kind where that is named. */
export type Observation<Kind extends ObservedKind = ObservedKind> = Of<Kind>;

/** Takes an observation. Never throws, and never waits. */
export type Observe = (observation: Observation) => void;

/** What has a beginning and an end. */
export interface Span {
  readonly startedAt: number;
  readonly endedAt: number;
}

/** A deployment as observations name it. */
export interface ObservedDeployment {
  readonly id: string;
  readonly model: string;
  readonly operation: 'generate' | 'embed';
  readonly provider: { readonly id: string };
}

export interface ObservedUsage {
  readonly input: number;
  readonly cacheRead: number;
  readonly cacheWrite: number;
  readonly cacheWriteLong: number;
  readonly output: number;
  readonly reasoning: number;
}

// ——— Requests ———

/**
 * How an inference request ended. Beside the outcomes of usage records: `rejected` before anything was sent, `replayed` from a stored
 * answer, `foretold` without an answer, `crashed` by a bug.
 */
export type RequestOutcome =
  | 'ok'
  | 'refused'
  | 'upstream_error'
  | 'client_gone'
  | 'broke_off'
  | 'provider_error'
  | 'lease_lost'
  | 'unsettled'
  | 'rejected'
  | 'replayed'
  | 'foretold'
  | 'crashed';

/** One inference request, all told, once it has ended. */
export interface RequestFacts extends Span {
  readonly requestId: string;
  /** The wire at its path. */
  readonly surface: string;
  readonly path: string;
  /** Ties its spans together; null where nothing is traced. */
  readonly trace: TraceIds | null;
  readonly stages: RequestStages;
  readonly outcome: RequestOutcome;
  readonly code: ErrorCode | null;
  readonly status: number;
  readonly funding: 'free' | 'wallet' | 'byok' | null;
  /** Null where it was not planned. */
  readonly plan: RequestPlan | null;
  readonly admission: { readonly verdict: string; readonly heldMsat: bigint } | null;
  readonly answer: RequestAnswer | null;
  readonly attempts: readonly AttemptFacts[];
}

/** Who could serve a request. */
export interface RequestPlan {
  readonly candidates: number;
  readonly chosen: ObservedDeployment | null;
  readonly tier: string | null;
  readonly explored: boolean;
  /** Whether the router chose, and not the client. */
  readonly isRouted: boolean;
}

/** What came of a request that was carried out. */
export interface RequestAnswer {
  /** Null where nobody answered. */
  readonly deployment: ObservedDeployment | null;
  readonly usage: ObservedUsage;
  /** To the first word; null where none came. */
  readonly ttftMs: number | null;
  /** Of record, markup included. */
  readonly costPicoUsd: bigint;
  readonly costMsat: bigint;
  /** At the provider's own prices, as far as the operator pays them. */
  readonly providerCostPicoUsd: bigint;
  readonly chargedMsat: bigint;
  /** What of it the house pays. */
  readonly losses: Losses;
}

/**
 * Why the house pays: for what is `free`; the `overrun` beyond a hold; what providers counted of answers that were `undelivered`; what was not
 * delivered because it could not be settled (`refund`); what was settled for less, or given back, because a gateway died or lost its lease
 * (`crash`); the `fee` of a withdrawal above its limit.
 */
export type LossReason = 'free' | 'overrun' | 'undelivered' | 'refund' | 'crash' | 'fee';
/** In msat. */
export type Losses = Readonly<Partial<Record<LossReason, bigint>>>;

/** When a request's stages began and ended; 0 where it did not come so far. */
export interface RequestStages {
  readonly identifiedAt: number;
  readonly planAt: number;
  readonly plannedAt: number;
  readonly admitAt: number;
  readonly admittedAt: number;
  readonly settleAt: number;
  readonly settledAt: number;
}

/** The ids of a trace, as W3C's Trace Context has them, in hexadecimal. */
export interface TraceIds {
  readonly traceId: string;
  readonly spanId: string;
  readonly sampled: boolean;
  /** What the client sent as `traceparent`: it becomes a link. */
  readonly parent: { readonly traceId: string; readonly spanId: string } | null;
}

/** Asking one provider once. `given_up`: the client left, or the gateway stops. */
export interface AttemptFacts extends Span {
  readonly deployment: ObservedDeployment;
  /** When its head came; null where none did. */
  readonly respondedAt: number | null;
  readonly status: number | null;
  readonly result: 'ok' | 'refused' | 'rate_limited' | 'timeout' | 'failed' | 'given_up';
  readonly stream: boolean;
  /** To the first word of a stream. */
  readonly firstChunkMs: number | null;
  /** Of its span; null where nothing is traced. */
  readonly spanId: string | null;
  /** The one that was asked before it for the same answer. */
  readonly after: ObservedDeployment | null;
}

export interface HttpFacts extends Span {
  readonly method: string;
  /** The route's pattern, never the path; empty where there is none. */
  readonly route: string;
  readonly scheme: string;
  readonly status: number;
  readonly code: ErrorCode | null;
}

export type Limit = NonNullable<GatewayError['detail']['limit']>;

// ——— The ledger, payments, levels ———

/** Rows that were written in one statement; each is of a request. */
export interface BatchFacts extends Span {
  readonly rows: readonly { readonly requestId?: string; readonly id?: string }[];
}

export type DepositVia = 'invoice' | 'l402' | 'address' | 'autopay' | 'lnurl';

/** What stands in the database and at the node now, told again and again by the one gateway that looks. Null: unknown. */
export interface Levels {
  readonly owedMsat: bigint;
  readonly heldMsat: bigint;
  readonly spendableMsat: bigint | null;
  readonly receivableMsat: bigint | null;
  readonly freeSpentPicoUsd: bigint;
  readonly freeReservedPicoUsd: bigint;
  readonly freeCeilingPicoUsd: bigint;
  readonly invoicesOpen: number;
  readonly checkOverdueSeconds: number;
  readonly withdrawalsPending: number;
  readonly withdrawalOldestSeconds: number;
  readonly orphans: number;
  readonly holdsPending: number;
  readonly holdOldestSeconds: number;
  readonly autopayPaused: number;
}

import { setTimeout as delay } from 'node:timers/promises';
import { arrayLiteral, textLiteral } from '../db/array-literal.ts';
import type { Pool } from '../db/postgres.ts';
import type { PaidBy } from '../ledger/hold.ts';
import type { Observe } from '../observation.ts';
import { promptTokensOf, type Usage } from '../wires/usage.ts';

/**
 * How a request ended. `broke_off`: the provider's stream did; `provider_error`: it told of a failure in the middle; `lease_lost`: its hold
 * was not ours any more; `unsettled`: its charge could not be made in time, so that its answer was not delivered.
 */
export type Outcome = 'ok' | 'refused' | 'upstream_error' | 'client_gone' | 'broke_off' | 'provider_error' | 'lease_lost' | 'unsettled';

/** One answer of a cascade: the last one is what the client got. */
export interface RecordedStep {
  model: string;
  provider: string;
  tier: string;
  usage: Usage;
  costPicoUsd: bigint;
  priceVersion: number;
  /** The name of the price in its version. */
  pricedAs: string;
  /** Null where the answer was not judged. */
  confidence: number | null;
}

/** Why the router sent a request where it went, in numbers. */
export interface RecordedRouting {
  /** How likely it was that another deployment than the best was tried. */
  exploreOdds: number;
  difficulty: number;
  /** Of the deployment that was chosen, whoever answered in the end. */
  expectedError: number;
  score: number;
}

/** What a request was, for reports and `/api/requests`. Never what was said. */
export interface UsageRecord {
  id: string;
  accountId: string;
  keyId: string;
  path: string;
  requestedModel: string;
  model: string | null;
  provider: string | null;
  tier: string | null;
  stream: boolean;
  outcome: Outcome;
  status: number;
  errorCode: string | null;
  funding: PaidBy | null;
  usage: Usage;
  costPicoUsd: bigint;
  costMsat: bigint;
  chargedMsat: bigint;
  picoUsdPerMsat: bigint;
  priceVersion: number | null;
  /** The name of the price in its version, and the markup on it. */
  pricedAs: string | null;
  markupBasisPoints: bigint;
  latencyMs: number;
  ttftMs: number | null;
  explored: boolean;
  upstreamRequestId: string | null;
  clientRequestId: string | null;
  /** What a cascade asked for and paid: then the prices are those of the steps. Null without one. */
  steps?: readonly RecordedStep[] | null;
  /** Null where nothing was decided. */
  routing?: RecordedRouting | null;
  /** Each time that a provider was asked, in order. */
  attempts?: readonly RecordedAttempt[];
}

/** A provider that was asked, and how that went as far as its first word. */
export interface RecordedAttempt {
  provider: string;
  model: string;
  /** `ok`, `refused`, `http_error`, `client_gone`, or what happened instead of a status. */
  result: string;
  /** Null where no answer came. */
  status: number | null;
  latencyMs: number;
}

const COLUMNS: [column: string, type: string, value: (record: UsageRecord) => string | number | bigint | boolean | null][] = [
  ['id', 'uuid', (r) => r.id],
  ['account_id', 'uuid', (r) => r.accountId],
  ['key_id', 'uuid', (r) => r.keyId],
  ['path', 'text', (r) => textLiteral(r.path)],
  ['requested_model', 'text', (r) => clean(r.requestedModel)],
  ['model', 'text', (r) => textLiteral(r.model)],
  ['provider', 'text', (r) => textLiteral(r.provider)],
  ['tier', 'text', (r) => textLiteral(r.tier)],
  ['stream', 'boolean', (r) => r.stream],
  ['outcome', 'text', (r) => textLiteral(r.outcome)],
  ['status', 'integer', (r) => r.status],
  ['error_code', 'text', (r) => textLiteral(r.errorCode)],
  ['funding', 'text', (r) => textLiteral(r.funding)],
  ['prompt_tokens', 'bigint', (r) => promptTokensOf(r.usage)],
  ['completion_tokens', 'bigint', (r) => r.usage.output],
  ['cached_tokens', 'bigint', (r) => r.usage.cacheRead],
  ['reasoning_tokens', 'bigint', (r) => r.usage.reasoning],
  ['cache_write_tokens', 'bigint', (r) => r.usage.cacheWrite],
  ['cache_write_long_tokens', 'bigint', (r) => r.usage.cacheWriteLong],
  ['cost_pico_usd', 'bigint', (r) => r.costPicoUsd],
  ['cost_msat', 'bigint', (r) => r.costMsat],
  ['charged_msat', 'bigint', (r) => r.chargedMsat],
  ['pico_usd_per_msat', 'bigint', (r) => r.picoUsdPerMsat],
  ['price_version', 'integer', (r) => r.priceVersion],
  ['priced_as', 'text', (r) => textLiteral(r.pricedAs)],
  ['markup_basis_points', 'integer', (r) => r.markupBasisPoints],
  ['latency_ms', 'double precision', (r) => r.latencyMs],
  ['ttft_ms', 'double precision', (r) => r.ttftMs],
  ['explored', 'boolean', (r) => r.explored],
  ['upstream_request_id', 'text', (r) => clean(r.upstreamRequestId)],
  ['client_request_id', 'text', (r) => clean(r.clientRequestId)],
  ['explore_odds', 'double precision', (r) => r.routing?.exploreOdds ?? null],
  ['difficulty', 'double precision', (r) => r.routing?.difficulty ?? null],
  ['expected_error', 'double precision', (r) => r.routing?.expectedError ?? null],
  ['routing_score', 'double precision', (r) => r.routing?.score ?? null],
  ['attempts', 'integer', (r) => r.attempts?.length ?? null],
  ['tried', 'jsonb', (r) => textLiteral(r.attempts ? attemptsJson(r.attempts) : null)],
  ['steps', 'jsonb', (r) => textLiteral(r.steps ? stepsJson(r.steps) : null)],
];

const INSERT = `insert into requests (${COLUMNS.map(([column]) => column).join(', ')})
  select * from unnest(${COLUMNS.map(([, type], index) => `$${index + 1}::${type}[]`).join(', ')}) on conflict (id) do nothing`;

const MAX_WAITING = 50_000;
const MAX_ROWS = 500;
const COLLECT_MS = 25;
const ATTEMPTS = 5;

/**
 * Writes usage records behind the requests, many in one statement. The money is in the ledger already: a record that
 * cannot be written is logged and lost, and undoes nothing.
 */
export class Recorder {
  readonly #pool: Pool;
  readonly #observe: Observe;
  #waiting: UsageRecord[] = [];
  #writing = false;
  /** How many records were added, and how many of them are done with; `#flushes` wait for a number of them. */
  #added = 0;
  #done = 0;
  #flushes: { upTo: number; resolve: () => void }[] = [];

  constructor(pool: Pool, observe: Observe) {
    this.#pool = pool;
    this.#observe = observe;
  }

  /** Records that wait to be written. */
  get waiting(): number {
    return this.#waiting.length;
  }

  add(record: UsageRecord): void {
    if (this.#waiting.length >= MAX_WAITING) {
      this.#observe({ kind: 'record_dropped', requestId: record.id });
      return;
    }
    this.#waiting.push(record);
    this.#added++;
    if (!this.#writing) void this.#write();
  }

  /** Resolves once every record added so far is written (or given up), so that a report can count on them. */
  async flush(): Promise<void> {
    const upTo = this.#added;
    if (this.#done < upTo) await new Promise<void>((resolve) => this.#flushes.push({ upTo, resolve }));
  }

  async #write(): Promise<void> {
    this.#writing = true;
    while (this.#waiting.length > 0) {
      // Nobody waits for a record but the reader of a report: those of the same moment share a statement and its commit.
      await delay(COLLECT_MS);
      const records = this.#waiting.splice(0, MAX_ROWS);
      if (!(await this.#insert(records)) && records.length > 1) for (const record of records) await this.#insert([record]);
      this.#done += records.length;
      while (this.#flushes[0] && this.#flushes[0].upTo <= this.#done) this.#flushes.shift()?.resolve();
    }
    this.#writing = false;
  }

  async #insert(records: UsageRecord[]): Promise<boolean> {
    const values = COLUMNS.map(([, , value]) => arrayLiteral(records, value));
    for (let attempt = 1; ; attempt++) {
      try {
        const startedAt = performance.now();
        await this.#pool.query({ name: 'insert_requests', text: INSERT, values });
        this.#observe({ kind: 'record_batch', rows: records, startedAt, endedAt: performance.now() });
        return true;
      } catch (error) {
        if (attempt === ATTEMPTS || (error as { severity?: string }).severity === 'ERROR') {
          this.#observe({ kind: 'records_not_written', err: error, records: records.length });
          return false;
        }
        await delay(200 * 2 ** attempt);
      }
    }
  }
}

/** Text from outside, fit for a text column: no NUL, no half of a character, and not endless. */
function clean(text: string | null): string | null {
  return text === null ? null : textLiteral(text.replaceAll('\0', '').slice(0, 200).toWellFormed());
}

/** With each step's usage as the columns of a request have it, so that both are priced alike. Costs are text: they may pass 2^53. */
function stepsJson(steps: readonly RecordedStep[]): string {
  return JSON.stringify(
    steps.map(({ model, provider, tier, usage, costPicoUsd, priceVersion, pricedAs, confidence }) => ({
      ...{ model, provider, tier, confidence },
      ...{ price_version: priceVersion, priced_as: pricedAs, cost_pico_usd: costPicoUsd.toString() },
      ...{ prompt_tokens: promptTokensOf(usage), completion_tokens: usage.output, reasoning_tokens: usage.reasoning },
      ...{ cached_tokens: usage.cacheRead, cache_write_tokens: usage.cacheWrite, cache_write_long_tokens: usage.cacheWriteLong },
    })),
  );
}

/** Times to the microsecond: more is noise. */
function attemptsJson(attempts: readonly RecordedAttempt[]): string {
  return JSON.stringify(attempts.map((attempt) => ({ ...attempt, latencyMs: Math.round(attempt.latencyMs * 1000) / 1000 })));
}

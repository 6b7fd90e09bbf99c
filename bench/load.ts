import { Pool, type Dispatcher } from 'undici';
import { PATH, requestBody } from './exchange.ts';

/** One round: so many connections ask again as soon as they are answered, for so long. A failure ends its connection. */
export interface Round {
  origin: string;
  apiKey: string;
  connections: number;
  seconds: number;
  stream: boolean;
}

export interface RoundResult {
  answers: number;
  /** Anything but a whole answer with status 200. */
  failures: number;
  firstFailure: string | null;
  perSecond: number;
  latencyMs: Percentiles;
  /** To the first byte of the body. */
  firstByteMs: Percentiles;
}

export interface Percentiles {
  median: number;
  p99: number;
}

/** Carries a round out. Every request that was begun is waited for, so that answers can be compared with charges. */
async function run({ origin, apiKey, connections, seconds, stream }: Round): Promise<RoundResult> {
  const pool = new Pool(origin, { connections, pipelining: 1 });
  const headers = { 'content-type': 'application/json', authorization: `Bearer ${apiKey}` };
  const options: Dispatcher.DispatchOptions = { method: 'POST', path: PATH, headers, body: requestBody(stream) };
  const seen: Asking[] = [];
  const startedAt = performance.now();
  const until = startedAt + seconds * 1000;
  const ask = async () => {
    for (let failed = false; !failed && performance.now() < until;) {
      const asking = new Asking();
      pool.dispatch(options, asking);
      await asking.ended;
      seen.push(asking);
      failed = asking.failure !== null;
    }
  };
  await Promise.all(Array.from({ length: connections }, ask));
  const elapsedSeconds = (performance.now() - startedAt) / 1000;
  await pool.close();
  const answered = seen.filter(({ failure }) => failure === null);
  return {
    answers: answered.length,
    failures: seen.length - answered.length,
    firstFailure: seen.find(({ failure }) => failure !== null)?.failure ?? null,
    perSecond: answered.length / elapsedSeconds,
    latencyMs: percentiles(answered.map(({ endedAt, startedAt: from }) => endedAt - from)),
    firstByteMs: percentiles(answered.map(({ firstByteAt, startedAt: from }) => firstByteAt - from)),
  };
}

class Asking implements Dispatcher.DispatchHandler {
  readonly startedAt = performance.now();
  readonly ended: Promise<void>;
  firstByteAt = 0;
  endedAt = 0;
  failure: string | null = null;
  #end: () => void = () => {};
  #status = 0;
  #failed = '';

  constructor() {
    this.ended = new Promise((resolve) => (this.#end = resolve));
  }

  onRequestStart(): void {}

  onResponseStart(_controller: Dispatcher.DispatchController, status: number): void {
    this.#status = status;
  }

  onResponseData(_controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.firstByteAt === 0) this.firstByteAt = performance.now();
    if (this.#status !== 200) this.#failed += chunk.toString();
  }

  onResponseEnd(): void {
    this.endedAt = performance.now();
    if (this.#status !== 200) this.failure = `HTTP ${this.#status}: ${this.#failed}`;
    this.#end();
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    this.failure = error.message;
    this.#end();
  }
}

function percentiles(values: number[]): Percentiles {
  const sorted = Float64Array.from(values).sort();
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
  return { median: at(0.5), p99: at(0.99) };
}

process.on('message', (round: Round) => {
  run(round).then(
    (result) => process.send?.(result),
    (error: unknown) => {
      throw error;
    },
  );
});
process.on('disconnect', () => process.exit());
process.send?.('ready');

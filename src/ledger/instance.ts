import type { Pool } from '../db/postgres.ts';
import type { Observe } from '../observation.ts';
import type { Deliveries } from './deliveries.ts';

const BEAT_MS = 2_000;

const BEAT = `
  insert into instances (id, beat_at, confirmed_at)
  values ($1, clock_timestamp(), case when $2::bigint = 0 then clock_timestamp() else timestamptz 'epoch' + $2 * interval '1 microsecond' end)
  on conflict (id) do update set beat_at = excluded.beat_at, confirmed_at = greatest(instances.confirmed_at, excluded.confirmed_at)
  returning (extract(epoch from beat_at) * 1000000)::bigint as beat_micros`;

/**
 * This process among the gateways of its database. Its beats say that the process lives, and up to which time
 * all its charges are delivered, so that no other gateway has to give them back.
 */
export class Instance {
  readonly #pool: Pool;
  readonly #observe: Observe;
  readonly #id: string;
  readonly #deliveries: Deliveries;
  #timer: NodeJS.Timeout | undefined;
  #beating: Promise<void> | undefined;

  constructor(pool: Pool, observe: Observe, id: string, deliveries: Deliveries) {
    this.#pool = pool;
    this.#observe = observe;
    this.#id = id;
    this.#deliveries = deliveries;
  }

  /** Beats from now on, until `stop`. Wait for the first beat before the first charge. */
  start(): void {
    this.#timer = setInterval(() => {
      this.#beating ??= this.beat()
        .catch((error: unknown) => this.#observe({ kind: 'beat_failed', err: error }))
        .finally(() => (this.#beating = undefined));
    }, BEAT_MS);
  }

  async beat(): Promise<void> {
    const { rows } = await this.#pool.query<{ beat_micros: bigint }>({
      name: 'beat',
      text: BEAT,
      values: [this.#id, this.#deliveries.confirmedMicros()],
    });
    if (rows[0]) this.#deliveries.beat(rows[0].beat_micros);
  }

  /** @param settled true if nothing is left that another gateway would have to give back. */
  async stop({ settled }: { settled: boolean }): Promise<void> {
    clearInterval(this.#timer);
    await this.#beating;
    if (settled) await this.#pool.query('delete from instances where id = $1', [this.#id]).catch(() => {});
  }
}

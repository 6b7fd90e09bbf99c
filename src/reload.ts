import type { CapacityWeights } from './capacity/capacity-weights.ts';
import type { OpenRequests } from './completions/open-requests.ts';
import type { Config } from './config/config.ts';
import { ConfigError } from './config/config-error.ts';
import type { Logger } from './log.ts';
import type { Observe } from './observation.ts';
import type { ReloadableModels } from './models/models.ts';
import type { PriceSchedule } from './pricing/price-schedule.ts';
import { loadTokenizer } from './wires/tokens.ts';

export interface ReloadDeps {
  models: ReloadableModels;
  prices: PriceSchedule;
  capacity: Pick<CapacityWeights, 'reconfigure'>;
  requests: Pick<OpenRequests, 'turnOver'>;
  log: Logger;
  observe: Observe;
}

/**
 * Puts another configuration of the gateway file in place of the one in force, whole or not at all. A request that is under way keeps its
 * deployments, their connections and its prices; the next one has the new ones.
 */
export class Reload {
  readonly #deps: ReloadDeps;
  #last: Promise<unknown> = Promise.resolve();

  constructor(deps: ReloadDeps) {
    this.#deps = deps;
  }

  /** One after the other, in the order of the calls. Never rejects: whether it was done is in the log, and in what it resolves to. */
  run(read: () => Config): Promise<boolean> {
    const run = this.#last.then(() => this.#run(read));
    this.#last = run;
    return run;
  }

  async #run(read: () => Config): Promise<boolean> {
    const { models, prices, capacity, requests, log, observe } = this.#deps;
    try {
      const config = read();
      const { set, enforce } = await prices.prepare(config);
      const replace = models.prepare(config, set);
      // From here on without a pause: no request sees one half of it.
      enforce();
      const leaving = replace();
      capacity.reconfigure(config.capacity);
      const closed = requests.turnOver().then(() => Promise.all(leaving.map((provider) => provider.close())));
      closed.catch((error: unknown) => log.warn({ err: error }, 'the connections of a former configuration did not close'));
      await Promise.all([...new Set(models.list().map(({ tokenizer }) => tokenizer))].map(loadTokenizer));
      const providers = models.providers.map(({ id }) => id);
      observe({ kind: 'configuration_replaced', providers, priceVersion: set.priceVersion, replaced: leaving.length });
      return true;
    } catch (error) {
      const told = error instanceof ConfigError ? { problems: error.message.split('\n') } : { err: error };
      observe({ kind: 'configuration_refused', ...told });
      return false;
    }
  }
}

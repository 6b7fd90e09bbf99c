import type { Deployment } from '../../src/models/deployment.ts';
import { UNKNOWN_HEALTH, type DeploymentHealth } from '../../src/routing/view.ts';

/** How a deployment really does at a time, in seconds. */
export interface Truth {
  readonly successRate: number;
  readonly ttftMs: number;
  readonly tokensPerSecond: number;
}

/** What became of one attempt. */
export interface Attempted {
  readonly ok: boolean;
  readonly ttftMs: number;
}

interface Memory {
  at: number;
  samples: number;
  successes: number;
  ttftSamples: number;
  ttftSum: number;
  tokensPerSecond: number;
  failuresInARow: number;
  closedUntil: number;
}

/** What was seen counts half after so many seconds. */
const HALF_LIFE_SECONDS = 300;
const FAILURES_TO_OPEN = 5;
const OPEN_SECONDS = 30;

/** A plain memory of attempts: halves with time, and closes a deployment for a while after failures in a row. By ids, on a clock of its own. */
export class AttemptMemory {
  readonly #memories = new Map<string, Memory>();

  healthOf({ id }: Deployment, at: number): DeploymentHealth {
    const memory = this.#aged(id, at);
    if (!memory) return UNKNOWN_HEALTH;
    const { samples, successes, ttftSamples, ttftSum, tokensPerSecond, closedUntil } = memory;
    return {
      successRate: samples > 0 ? successes / samples : 1,
      ttftMs: ttftSamples > 0.01 ? ttftSum / ttftSamples : null,
      tokensPerSecond: ttftSamples > 0.01 ? tokensPerSecond : null,
      samples,
      available: at >= closedUntil,
    };
  }

  observe({ id }: Deployment, { ok, ttftMs }: Attempted, { tokensPerSecond }: Truth, at: number): void {
    const memory = this.#aged(id, at) ?? {
      ...{ at, samples: 0, successes: 0, ttftSamples: 0, ttftSum: 0, tokensPerSecond, failuresInARow: 0, closedUntil: 0 },
    };
    this.#memories.set(id, memory);
    memory.samples += 1;
    memory.failuresInARow = ok ? 0 : memory.failuresInARow + 1;
    if (memory.failuresInARow >= FAILURES_TO_OPEN) memory.closedUntil = at + OPEN_SECONDS;
    if (!ok) return;
    memory.successes += 1;
    memory.ttftSamples += 1;
    memory.ttftSum += ttftMs;
    memory.tokensPerSecond = tokensPerSecond;
  }

  #aged(id: string, at: number): Memory | undefined {
    const memory = this.#memories.get(id);
    if (!memory) return undefined;
    const left = 0.5 ** ((at - memory.at) / HALF_LIFE_SECONDS);
    memory.at = at;
    memory.samples *= left;
    memory.successes *= left;
    memory.ttftSamples *= left;
    memory.ttftSum *= left;
    return memory;
  }
}

/** A time to the first token around the true one: half of it at least, and now and then several times it. */
export function drawnTtftMs({ ttftMs }: Truth, random: () => number): number {
  return ttftMs * (0.5 - 0.5 * Math.log(1 - random()));
}

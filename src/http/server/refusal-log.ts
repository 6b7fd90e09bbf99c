import type { ErrorCode, GatewayError } from '../../errors.ts';
import type { Observe } from '../../observation.ts';

const WINDOW_MS = 1000;

/**
 * What the log says of answers of 500 and more. An outage refuses every request for one and the same reason, some
 * thousands a second: the first in each second is written with all there is to say, the others of its kind are counted,
 * and their number follows when the second is over. Bugs (`internal_error`) are written each.
 */
export class RefusalLog {
  readonly #observe: Observe;
  /** How many more came of each kind in its second. A kind is two codes, never a text: so there are few. */
  readonly #more = new Map<string, number>();

  constructor(observe: Observe) {
    this.#observe = observe;
  }

  write(error: GatewayError, requestId: string | undefined): void {
    const { code, status, cause } = error;
    if (status < 500) return;
    const told = { kind: 'service_failed', requestId, code, err: cause ?? error } as const;
    if (code === 'internal_error') return this.#observe(told);
    const reason = (cause as { code?: unknown } | undefined)?.code;
    const kind = `${code} ${String(reason)}`;
    const more = this.#more.get(kind);
    if (more !== undefined) return void this.#more.set(kind, more + 1);
    this.#observe(told);
    this.#more.set(kind, 0);
    setTimeout(() => this.#close(kind, code, reason), WINDOW_MS).unref();
  }

  #close(kind: string, code: ErrorCode, reason: unknown): void {
    const more = this.#more.get(kind);
    this.#more.delete(kind);
    if (more) this.#observe({ kind: 'more_failed', code, reason, more });
  }
}

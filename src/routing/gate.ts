import type { Deployment } from '../models/deployment.ts';

/** Lets attempts through to deployments that can take them, and learns from how each of them went. */
export interface Gate {
  /**
   * Asked right before every dispatch. A half-open circuit lets one attempt through at a time.
   * @param accountId for whom: the faults of one account's requests must not take a deployment away from all others.
   */
  enter(deployment: Deployment, accountId: string): Pass | Shut;
}

/** Lets every attempt through, and learns nothing. */
export const OPEN_GATE: Gate = { enter: () => ({ end: () => {} }) };

/** Leave for one attempt. */
export interface Pass {
  /** Told once, when the attempt is over: for a stream, when its last event is there. */
  end(outcome: AttemptOutcome): void;
}

/** How an attempt went, as far as it says something of the deployment. */
export type AttemptOutcome =
  /**
   * `ttftMs` is to the first word of a stream, null for an answer that comes whole; `seconds` from the dispatch to the last event. Without
   * the provider's figures, `outputTokens` of a stream is our own count, and 0 of an answer that comes whole; 0 too of a stream that its
   * client slowed down.
   */
  | { readonly kind: 'ok'; readonly ttftMs: number | null; readonly outputTokens: number; readonly seconds: number }
  /** The provider's own fault, or the operator's: 429, 5xx, 401, a time-out, a broken stream. */
  | { readonly kind: 'fault'; readonly reason: string; readonly retryAfterSeconds: number | null }
  /** Nothing of the deployment: a refusal of the request, a client that left, an attempt that we gave up, a caller's own key at its limit. */
  | { readonly kind: 'void' };

/** Why a deployment is not asked now. */
export interface Shut {
  readonly shut: 'circuit open' | 'pause asked for' | 'limit reached' | 'switched off';
  readonly retryAfterSeconds: number;
}

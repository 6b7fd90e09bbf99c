import type { DeploymentLimits } from '../models/deployment.ts';
import { Others } from './others.ts';

const WINDOW_MS = 60_000;
/** Nothing tells when an attempt that is under way will end. */
const NEXT_MS = 1_000;
/** Who asked within this time has a claim to a part of what there is. */
const CLAIM_MS = 60_000;

interface Entered {
  readonly at: number;
  readonly accountId: string | undefined;
}

/**
 * The operator's limits of a deployment, in this gateway: how many attempts may be under way, and how many enter within a minute. As long as
 * others ask too, one account has at most half of either, so that nobody can use them up alone.
 */
export class Limits {
  readonly #asking = new Others();
  #underWay = 0;
  readonly #underWayOf = new Map<string, number>();
  /** The attempts of the last minute, oldest first; kept only where their number is limited. */
  #entered: Entered[] = [];

  get isIdle(): boolean {
    this.#forgetEntered();
    return this.#underWay === 0 && this.#entered.length === 0;
  }

  /** How long an attempt has to wait; 0 where it may enter. Takes nothing. */
  waitMs({ concurrentRequests, requestsPerMinute }: DeploymentLimits): number {
    if (concurrentRequests !== null && this.#underWay >= concurrentRequests) return NEXT_MS;
    if (requestsPerMinute === null) return 0;
    this.#forgetEntered();
    return this.#entered.length < requestsPerMinute ? 0 : untilOut(this.#entered[0]);
  }

  /** The same for one account, which has asked by this. */
  ask({ concurrentRequests, requestsPerMinute }: DeploymentLimits, accountId: string): number {
    this.#asking.note(accountId);
    if (!this.#asking.within(accountId, CLAIM_MS)) return 0;
    if (concurrentRequests !== null && (this.#underWayOf.get(accountId) ?? 0) >= half(concurrentRequests)) return NEXT_MS;
    if (requestsPerMinute === null) return 0;
    this.#forgetEntered();
    const own = this.#entered.filter((one) => one.accountId === accountId);
    return own.length < half(requestsPerMinute) ? 0 : untilOut(own[0]);
  }

  /** Takes what an attempt takes, until it is told that the attempt has ended. */
  enter({ requestsPerMinute }: DeploymentLimits, accountId: string | undefined): () => void {
    this.#count(accountId, 1);
    if (requestsPerMinute !== null) this.#entered.push({ at: Date.now(), accountId });
    return () => this.#count(accountId, -1);
  }

  #count(accountId: string | undefined, change: number): void {
    this.#underWay += change;
    if (accountId === undefined) return;
    const own = (this.#underWayOf.get(accountId) ?? 0) + change;
    if (own > 0) this.#underWayOf.set(accountId, own);
    else this.#underWayOf.delete(accountId);
  }

  #forgetEntered(): void {
    const now = Date.now();
    while ((this.#entered[0]?.at ?? Infinity) <= now - WINDOW_MS) this.#entered.shift();
  }
}

function half(limit: number): number {
  return Math.max(1, Math.ceil(limit / 2));
}

function untilOut(oldest: Entered | undefined): number {
  return oldest === undefined ? WINDOW_MS : oldest.at + WINDOW_MS - Date.now();
}

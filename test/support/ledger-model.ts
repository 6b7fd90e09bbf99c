import type { Pool } from '../../src/db/postgres.ts';
import type { Admission, HoldVerdict } from '../../src/ledger/hold.ts';
import { LIMITS, RATE, type Payer } from './holds.ts';

interface ModelAccount {
  posted: bigint;
  held: bigint;
  freeUsed: number;
  freeStreams: number;
  freeLimit: number;
  budget: bigint;
  reserved: bigint;
  spent: bigint;
}

export interface ModelHold {
  admission: Admission;
  hold: HoldVerdict;
  state: 'pending' | 'posted' | 'voided';
  chargedMsat: bigint;
  spentPicoUsd: bigint;
  /** What a crash would charge; null where nothing was delivered. */
  checkpointMsat: bigint | null;
  refunded: boolean;
}

/** The ledger as its rules are written, in plain variables: what the database must agree with. */
export class LedgerModel {
  readonly #accounts = new Map<string, ModelAccount>();
  readonly #keys: readonly string[];
  readonly #holds: ModelHold[] = [];
  #freeReserved = 0n;
  #freeSpent = 0n;
  readonly #freeBefore: bigint;

  constructor(keys: readonly string[], freeBefore: bigint) {
    this.#keys = keys;
    this.#freeBefore = freeBefore;
  }

  /** The model of payers that nothing has happened to yet. */
  static async of(pool: Pool, payers: readonly Payer[]): Promise<LedgerModel> {
    const { rows: free } = await pool.query<{ used: bigint }>(
      'select coalesce(sum(reserved_pico_usd + spent_pico_usd), 0)::bigint as used from free_days',
    );
    const model = new LedgerModel(
      payers.map(({ keyId }) => keyId),
      free[0]?.used ?? 0n,
    );
    const { rows } = await pool.query<{ account_id: string; free_limit: number; budget: bigint }>(
      `select a.id as account_id, a.free_limit, k.daily_budget_pico_usd as budget from accounts a join api_keys k on k.account_id = a.id where k.id = any ($1)`,
      [model.#keys],
    );
    for (const { account_id, free_limit: freeLimit, budget } of rows) {
      model.#accounts.set(account_id, { posted: 0n, held: 0n, freeUsed: 0, freeStreams: 0, freeLimit, budget, reserved: 0n, spent: 0n });
    }
    return model;
  }

  fund(accountId: string, amountMsat: bigint): void {
    this.#account(accountId).posted += amountMsat;
  }

  /** What the ledger must say to a request that comes alone. */
  predict(request: Admission): { verdict: string; funding?: string; tokens?: number; heldMsat?: bigint } {
    const account = this.#account(request.accountId);
    const { basePicoUsd: base, perTokenPicoUsd: perToken, freeMaxPicoUsd: freeMax } = request;
    const least = base + BigInt(request.leastTokens) * perToken;
    const budget = account.budget - account.reserved - account.spent;
    if (least > budget) return { verdict: 'budget' };
    const freeDay = LIMITS.freeDayPicoUsd - this.#freeBefore - this.#freeReserved - this.#freeSpent;
    const notFree =
      account.freeUsed >= account.freeLimit
        ? 'used_up'
        : least > freeMax
          ? 'too_costly'
          : least > freeDay
            ? 'daily_ceiling'
            : request.stream && account.freeStreams >= LIMITS.freeStreams
              ? 'free_streams'
              : null;
    const available = account.posted - account.held;
    if (notFree && inMsat(least) > available) return { verdict: notFree };
    const room = notFree ? smallest(budget, available * RATE) : smallest(freeMax, freeDay, budget);
    const tokens = smallest(BigInt(request.mostTokens), (room - base) / perToken);
    const heldMsat = notFree ? inMsat(base + tokens * perToken) : 0n;
    return { verdict: 'admitted', funding: notFree ? 'wallet' : 'free', tokens: Number(tokens), heldMsat };
  }

  /** Takes over what the ledger granted, if it did. */
  admitted(admission: Admission, hold: HoldVerdict): void {
    if (hold.verdict !== 'admitted') return;
    const account = this.#account(admission.accountId);
    account.held += hold.heldMsat;
    account.reserved += hold.costPicoUsd;
    if (hold.funding === 'free') {
      account.freeUsed++;
      if (admission.stream) account.freeStreams++;
      this.#freeReserved += hold.costPicoUsd;
    }
    this.#holds.push({ admission, hold, state: 'pending', chargedMsat: 0n, spentPicoUsd: 0n, checkpointMsat: null, refunded: false });
  }

  /** One of the holds that fit, chosen by any number; undefined where there is none. */
  pick(which: number, fits: (hold: ModelHold) => boolean): ModelHold | undefined {
    const fitting = this.#holds.filter(fits);
    return fitting[which % Math.max(1, fitting.length)];
  }

  checkpoint(held: ModelHold, chargeMsat: bigint): void {
    if (held.checkpointMsat === null || chargeMsat > held.checkpointMsat) held.checkpointMsat = chargeMsat;
  }

  /** Settled without its owner. */
  sweep(held: ModelHold): void {
    if (held.checkpointMsat === null) this.void(held);
    else this.post(held, held.checkpointMsat);
  }

  post(held: ModelHold, chargeMsat: bigint): void {
    const { hold, admission } = held;
    const account = this.#release(held, 'posted');
    const cost = smallest(chargeMsat * RATE, hold.costPicoUsd);
    held.chargedMsat = smallest(chargeMsat, hold.heldMsat);
    account.posted -= held.chargedMsat;
    account.spent += cost;
    held.spentPicoUsd = cost;
    if (hold.funding === 'free') this.#freeSpent += cost;
    if (hold.funding === 'free' && admission.stream) account.freeStreams--;
  }

  void(held: ModelHold): void {
    const account = this.#release(held, 'voided');
    if (held.hold.funding !== 'free') return;
    account.freeUsed--;
    if (held.admission.stream) account.freeStreams--;
  }

  /** A posted request was asked back, any number of times at once, of which `refunds` did something. */
  refund(held: ModelHold, refunds: number): void {
    if (refunds !== (held.refunded ? 0 : 1)) throw new Error(`${refunds} refunds of a charge`);
    if (held.refunded) return;
    held.refunded = true;
    const account = this.#account(held.admission.accountId);
    account.posted += held.chargedMsat;
    account.spent -= held.spentPicoUsd;
    if (held.hold.funding !== 'free') return;
    account.freeUsed--;
    this.#freeSpent -= held.spentPicoUsd;
  }

  /** The accounts as they must be, by id. */
  expected(): unknown[] {
    return [...this.#accounts]
      .map(([id, { posted, held, freeUsed, freeStreams, reserved, spent }]) => ({
        id,
        posted,
        held,
        freeUsed,
        freeStreams,
        reserved,
        spent,
      }))
      .toSorted((a, b) => a.id.localeCompare(b.id));
  }

  /** The accounts as the database has them. */
  async found(pool: Pool): Promise<unknown[]> {
    const { rows } = await pool.query<{ id: string }>(
      `select a.id, a.posted_msat as posted, a.held_msat as held, a.free_used as "freeUsed", a.free_streams as "freeStreams",
         coalesce(sum(b.reserved_pico_usd), 0)::bigint as reserved, coalesce(sum(b.spent_pico_usd), 0)::bigint as spent
       from accounts a join api_keys k on k.account_id = a.id left join budget_days b on b.key_id = k.id
       where k.id = any ($1) group by a.id`,
      [this.#keys],
    );
    return rows.toSorted((a, b) => a.id.localeCompare(b.id));
  }

  #release(held: ModelHold, state: 'posted' | 'voided'): ModelAccount {
    const account = this.#account(held.admission.accountId);
    held.state = state;
    account.held -= held.hold.heldMsat;
    account.reserved -= held.hold.costPicoUsd;
    if (held.hold.funding === 'free') this.#freeReserved -= held.hold.costPicoUsd;
    return account;
  }

  #account(accountId: string): ModelAccount {
    const account = this.#accounts.get(accountId);
    if (!account) throw new Error('not an account of this model');
    return account;
  }
}

function inMsat(cost: bigint): bigint {
  return (cost + RATE - 1n) / RATE;
}

function smallest(...values: bigint[]): bigint {
  return values.reduce((least, value) => (value < least ? value : least));
}

import type { Pool } from '../../src/db/postgres.ts';
import { msat, picoUsd } from '../../src/amount.ts';
import type { Admission, HoldLimits, HoldVerdict } from '../../src/ledger/hold.ts';
import { LIMITS, RATE, type Payer } from './holds.ts';

interface ModelAccount {
  posted: bigint;
  held: bigint;
  freeUsed: number;
  freeStreams: number;
  freeLimit: number;
  /** What its free requests of the day spent, and have reserved. */
  freeSpent: bigint;
  freeReserved: bigint;
  freePending: number;
}

interface ModelKey {
  accountId: string;
  version: number;
  budget: bigint;
  reserved: bigint;
  spent: bigint;
}

/** What the ledger must say to a request. */
export interface Prediction {
  verdict: string;
  funding: 'free' | 'wallet' | 'byok' | null;
  tokens: number;
  heldMsat: bigint;
  costPicoUsd: bigint;
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
  readonly #keys = new Map<string, ModelKey>();
  readonly #holds: ModelHold[] = [];
  #freeReserved = 0n;
  #freeSpent = 0n;
  readonly #freeBefore: bigint;
  readonly #limits: HoldLimits;

  constructor(freeBefore: bigint, limits: HoldLimits) {
    this.#freeBefore = freeBefore;
    this.#limits = limits;
  }

  /** The model of payers that nothing has happened to yet; several may be keys of one account. */
  static async of(pool: Pool, payers: readonly Payer[], limits: HoldLimits = LIMITS): Promise<LedgerModel> {
    const { rows: free } = await pool.query<{ used: bigint }>(
      'select coalesce(sum(reserved_pico_usd + spent_pico_usd), 0)::bigint as used from free_days',
    );
    const model = new LedgerModel(free[0]?.used ?? 0n, limits);
    const { rows } = await pool.query<{ id: string; account_id: string; free_limit: number; budget: bigint; version: number }>(
      `select k.id, k.version, a.id as account_id, a.free_limit, k.daily_budget_pico_usd as budget
       from accounts a join api_keys k on k.account_id = a.id where k.id = any ($1)`,
      [payers.map(({ keyId }) => keyId)],
    );
    for (const { id, account_id: accountId, free_limit: freeLimit, budget, version } of rows) {
      model.#keys.set(id, { accountId, version, budget, reserved: 0n, spent: 0n });
      if (!model.#accounts.has(accountId)) {
        const unused = { posted: 0n, held: 0n, freeUsed: 0, freeStreams: 0, freeSpent: 0n, freeReserved: 0n, freePending: 0 };
        model.#accounts.set(accountId, { ...unused, freeLimit });
      }
    }
    return model;
  }

  fund(accountId: string, amountMsat: bigint): void {
    this.#account(accountId).posted += amountMsat;
  }

  /** What the ledger must say to a request that is decided now. */
  predict(request: Admission): Prediction {
    const account = this.#account(request.accountId);
    const key = this.#key(request.keyId);
    const { basePicoUsd: base, perTokenPicoUsd: perToken, freeMaxPicoUsd: freeMax } = request;
    const least = base + BigInt(request.leastTokens) * perToken;
    const refused = { funding: null, tokens: 0, heldMsat: 0n, costPicoUsd: least };
    if (request.keyVersion !== key.version) return { ...refused, verdict: 'key_changed' };
    const available = account.posted - account.held;
    if (request.feeMsat !== undefined) {
      if (request.feeMsat > available) return { ...refused, verdict: 'fee', heldMsat: request.feeMsat };
      const costPicoUsd = base + BigInt(request.mostTokens) * perToken;
      return { verdict: 'admitted', funding: 'byok', tokens: request.mostTokens, heldMsat: request.feeMsat, costPicoUsd };
    }
    const budget = key.budget - key.reserved - key.spent;
    if (least > budget) return { ...refused, verdict: 'budget' };
    const freeDay = this.#limits.freeDayPicoUsd - this.#freeBefore - this.#freeReserved - this.#freeSpent;
    const freeShare = this.#limits.freeSharePicoUsd - account.freeReserved - account.freeSpent;
    const notFree = this.#obstacle(account, request, least, smallest(freeDay, freeShare));
    if (notFree && inMsat(least) > available) return { ...refused, verdict: notFree, heldMsat: inMsat(least) };
    const room = notFree ? smallest(budget, available * RATE) : smallest(freeMax, freeDay, freeShare, budget);
    const tokens = smallest(BigInt(request.mostTokens), (room - base) / perToken);
    const cost = base + tokens * perToken;
    const heldMsat = notFree ? inMsat(cost) : 0n;
    return { verdict: 'admitted', funding: notFree ? 'wallet' : 'free', tokens: Number(tokens), heldMsat, costPicoUsd: cost };
  }

  /** Why a request is not free; null where it is. */
  #obstacle(account: ModelAccount, { freeMaxPicoUsd, stream }: Admission, least: bigint, freeLeft: bigint): string | null {
    if (account.freeUsed >= account.freeLimit) return 'used_up';
    if (least > freeMaxPicoUsd) return 'too_costly';
    if (least > freeLeft) return 'daily_ceiling';
    if (stream && account.freeStreams >= this.#limits.freeStreams) return 'free_streams';
    return account.freePending >= this.#limits.freeAtOnce ? 'free_requests' : null;
  }

  /** How an account and a key stand: what verdicts tell besides. */
  standing({ accountId, keyId }: Payer): Pick<HoldVerdict, 'availableMsat' | 'freeUsed' | 'freeLimit' | 'budgetLeftPicoUsd'> {
    const account = this.#account(accountId);
    const key = this.#key(keyId);
    return {
      availableMsat: msat(account.posted - account.held),
      freeUsed: account.freeUsed,
      freeLimit: account.freeLimit,
      budgetLeftPicoUsd: picoUsd(key.budget - key.reserved - key.spent),
    };
  }

  /** A key's row was changed. */
  changeKey(keyId: string): void {
    this.#key(keyId).version++;
  }

  /** Takes over what the ledger granted, if it did. */
  admitted(admission: Admission, hold: HoldVerdict): void {
    if (hold.verdict !== 'admitted') return;
    const account = this.#account(admission.accountId);
    account.held += hold.heldMsat;
    if (hold.funding !== 'byok') this.#key(admission.keyId).reserved += hold.costPicoUsd;
    if (hold.funding === 'free') {
      account.freeUsed++;
      account.freePending++;
      account.freeReserved += hold.costPicoUsd;
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
    const owed = hold.funding === 'byok' && chargeMsat > 0n ? hold.heldMsat : chargeMsat;
    held.chargedMsat = smallest(owed, hold.heldMsat);
    account.posted -= held.chargedMsat;
    if (hold.funding !== 'byok') this.#key(admission.keyId).spent += cost;
    held.spentPicoUsd = cost;
    if (hold.funding === 'free') {
      this.#freeSpent += cost;
      account.freeSpent += cost;
    }
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
    if (held.hold.funding !== 'byok') this.#key(held.admission.keyId).spent -= held.spentPicoUsd;
    if (held.hold.funding !== 'free') return;
    account.freeUsed--;
    account.freeSpent -= held.spentPicoUsd;
    this.#freeSpent -= held.spentPicoUsd;
  }

  /** The accounts and keys as they must be, by id. */
  expected(): unknown[] {
    const accounts = [...this.#accounts].map(([id, { posted, held, freeUsed, freeStreams, freeSpent }]) => {
      return { id, posted, held, freeUsed, freeStreams, freeSpent };
    });
    const keys = [...this.#keys].map(([id, { reserved, spent }]) => ({ id, reserved, spent }));
    return [...accounts, ...keys].toSorted((a, b) => a.id.localeCompare(b.id));
  }

  /** The same as the database has it. */
  async found(pool: Pool): Promise<unknown[]> {
    const { rows: accounts } = await pool.query<{ id: string }>(
      `select id, posted_msat as posted, held_msat as held, free_used as "freeUsed", free_streams as "freeStreams", free_spent_pico_usd as "freeSpent"
       from accounts where id = any ($1)`,
      [[...this.#accounts.keys()]],
    );
    const { rows: keys } = await pool.query<{ id: string }>(
      `select k.id, coalesce(sum(b.reserved_pico_usd), 0)::bigint as reserved, coalesce(sum(b.spent_pico_usd), 0)::bigint as spent
       from api_keys k left join budget_days b on b.key_id = k.id where k.id = any ($1) group by k.id`,
      [[...this.#keys.keys()]],
    );
    return [...accounts, ...keys].toSorted((a, b) => a.id.localeCompare(b.id));
  }

  #release(held: ModelHold, state: 'posted' | 'voided'): ModelAccount {
    const account = this.#account(held.admission.accountId);
    held.state = state;
    account.held -= held.hold.heldMsat;
    if (held.hold.funding !== 'byok') this.#key(held.admission.keyId).reserved -= held.hold.costPicoUsd;
    if (held.hold.funding === 'free') {
      account.freePending--;
      account.freeReserved -= held.hold.costPicoUsd;
      this.#freeReserved -= held.hold.costPicoUsd;
    }
    return account;
  }

  #account(accountId: string): ModelAccount {
    const account = this.#accounts.get(accountId);
    if (!account) throw new Error('not an account of this model');
    return account;
  }

  #key(keyId: string): ModelKey {
    const key = this.#keys.get(keyId);
    if (!key) throw new Error('not a key of this model');
    return key;
  }
}

function inMsat(cost: bigint): bigint {
  return (cost + RATE - 1n) / RATE;
}

function smallest(...values: bigint[]): bigint {
  return values.reduce((least, value) => (value < least ? value : least));
}

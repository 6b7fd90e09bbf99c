import { lockAccountAs, type ActingKey } from '../accounts/acting-key.ts';
import type { RootSecret } from '../config/secret-keys.ts';
import { transaction, type Pool, type PoolClient } from '../db/postgres.ts';
import { GatewayError } from '../errors.ts';
import { SPENT_TODAY } from './attempts.ts';
import { openConnection, sealConnection } from './sealed-connection.ts';
import { reasonSentence, type Reason } from './wallet-word.ts';

/** The amounts that an owner chooses, in whole sats. */
export interface AutopayAmounts {
  /** Below this much available, money is fetched. */
  readonly thresholdSat: number;
  readonly topupSat: number;
  /** A UTC day's most. */
  readonly dailyLimitSat: number;
}

/** What a wallet says of itself, as far as it is kept. */
export interface KeptWallet {
  readonly name: string | null;
  readonly nodeKey: string | null;
  readonly relayHosts: readonly string[];
}

/** The account's last attempt. `reason`: the wallet's word, in words, where it is not (yet) paid. */
export interface LastAttempt {
  readonly startedAt: Date;
  readonly amountSat: number;
  readonly outcome: 'pending' | 'paid' | 'unpaid';
  readonly reason: string | null;
}

/** An account's autopay as its owner may see it: never the connection. */
export interface AutopayState extends AutopayAmounts {
  /** `waiting`: it goes on by itself at `nextTryAt`. `stopped`: the connection is of no use any more. */
  readonly state: 'on' | 'waiting' | 'paused' | 'stopped';
  readonly wallet: Pick<KeptWallet, 'name' | 'relayHosts'>;
  readonly reason: Reason | null;
  /** The reason in words: "your wallet says its budget is used up". */
  readonly reasonText: string | null;
  readonly nextTryAt: Date | null;
  readonly spentTodaySat: number;
  readonly last: LastAttempt | null;
}

interface Row {
  state: 'on' | 'paused' | 'stopped';
  reason: Reason | null;
  wallet_name: string | null;
  relay_hosts: string[];
  threshold_sat: number;
  topup_sat: number;
  daily_limit_sat: number;
  not_before: Date;
  waits: boolean;
  spent_sat: number;
  last_at: Date | null;
  last_sat: number;
  last_answer: Reason | null;
  last_ended: boolean;
  last_paid: boolean;
}

const STATE = `
  select p.state, p.reason, p.wallet_name, p.relay_hosts, p.threshold_sat, p.topup_sat, p.daily_limit_sat, p.not_before,
    p.not_before > clock_timestamp() as waits, ${SPENT_TODAY} as spent_sat,
    l.started_at as last_at, l.amount_sat as last_sat, l.answer as last_answer, l.ended_at is not null as last_ended,
    coalesce(l.state = 'paid', false) as last_paid
  from autopay p left join lateral (
    select t.started_at, t.amount_sat, t.answer, t.ended_at, i.state from autopay_attempts t join invoices i on i.id = t.invoice_id
    where t.account_id = p.account_id order by t.started_at desc limit 1
  ) l on true
  where p.account_id = $1`;

/** The rows of `autopay`: what owners have chosen. Each change is decided under the account's lock, by an owner key that is alive then. */
export class AutopaySettings {
  readonly #pool: Pool;
  readonly #roots: readonly RootSecret[];

  constructor(pool: Pool, roots: readonly RootSecret[]) {
    this.#pool = pool;
    this.#roots = roots;
  }

  /** An account's autopay as it stands; null where there is none. */
  async state(accountId: string): Promise<AutopayState | null> {
    const { rows } = await this.#pool.query<Row>(STATE, [accountId]);
    return rows[0] ? stateOf(rows[0]) : null;
  }

  /** The connection; null where there is none, or it cannot be read any more. */
  async connection(accountId: string): Promise<string | null> {
    const { rows } = await this.#pool.query<{ connection: Buffer }>('select connection from autopay where account_id = $1', [accountId]);
    return rows[0] ? this.open(accountId, rows[0].connection) : null;
  }

  open(accountId: string, sealed: Buffer): string | null {
    return openConnection(this.#roots, accountId, sealed);
  }

  /**
   * Stores the amounts and, where one is given, the connection, and sets autopay going. Throws GatewayError as `lockAccountAs` does, and
   * `invalid_request` where there is no connection yet and none is given.
   */
  async store(key: ActingKey, amounts: AutopayAmounts, given: { url: string; wallet: KeptWallet } | null): Promise<void> {
    const { thresholdSat, topupSat, dailyLimitSat } = amounts;
    await this.#as(key, async (client) => {
      const values = [key.accountId, thresholdSat, topupSat, dailyLimitSat];
      if (!given) {
        const { rowCount } = await client.query(
          `update autopay set threshold_sat = $2, topup_sat = $3, daily_limit_sat = $4, ${GOES_ON} where account_id = $1`,
          values,
        );
        if (rowCount === 0) throw new GatewayError('invalid_request', { message: 'nwcUrl: no wallet is connected yet', param: 'nwcUrl' });
        return;
      }
      const { url, wallet } = given;
      await client.query(
        `insert into autopay (account_id, threshold_sat, topup_sat, daily_limit_sat, connection, wallet_name, wallet_node, relay_hosts)
         values ($1, $2, $3, $4, $5, $6, $7, $8)
         on conflict (account_id) do update set threshold_sat = excluded.threshold_sat, topup_sat = excluded.topup_sat,
           daily_limit_sat = excluded.daily_limit_sat, connection = excluded.connection, wallet_name = excluded.wallet_name,
           wallet_node = excluded.wallet_node, relay_hosts = excluded.relay_hosts, ${GOES_ON}`,
        [...values, sealConnection(this.#roots, key.accountId, url), wallet.name, wallet.nodeKey, wallet.relayHosts],
      );
    });
  }

  /** Keeps what a wallet said of itself. */
  async keepWallet(accountId: string, { name, nodeKey }: KeptWallet): Promise<void> {
    await this.#pool.query('update autopay set wallet_name = $2, wallet_node = $3 where account_id = $1', [accountId, name, nodeKey]);
  }

  async pause(key: ActingKey): Promise<void> {
    await this.#as(key, (client) =>
      client.query(`update autopay set state = 'paused', reason = 'OWNER' where account_id = $1 and state = 'on'`, [key.accountId]),
    );
  }

  /** Sets it going again, whatever it waited for. */
  async resume(key: ActingKey): Promise<void> {
    await this.#as(key, (client) => client.query(`update autopay set ${GOES_ON} where account_id = $1`, [key.accountId]));
  }

  /** Forgets the connection. What an attempt under way may still bring in is credited all the same. */
  async remove(key: ActingKey): Promise<void> {
    await this.#as(key, (client) => client.query('delete from autopay where account_id = $1', [key.accountId]));
  }

  /** Encrypts connections anew that are under an older secret, up to `limit`. Gives how many cannot be read any more. */
  async renew(limit: number): Promise<number> {
    const [newest] = this.#roots;
    const { rows } = await this.#pool.query<{ account_id: string; connection: Buffer }>(
      'select account_id, connection from autopay where get_byte(connection, 0) <> $1 limit $2',
      [Number(newest?.id), limit],
    );
    let lost = 0;
    for (const { account_id: accountId, connection } of rows) {
      const url = this.open(accountId, connection);
      if (url === null) lost++;
      else
        await this.#pool.query('update autopay set connection = $3 where account_id = $1 and connection = $2', [
          accountId,
          connection,
          sealConnection(this.#roots, accountId, url),
        ]);
    }
    return lost;
  }

  #as(key: ActingKey, work: (client: PoolClient) => Promise<unknown>): Promise<void> {
    return transaction(this.#pool, async (client) => {
      await lockAccountAs(client, key, 'owner');
      await work(client);
    });
  }
}

const GOES_ON = `state = 'on', reason = null, failures = 0, not_before = clock_timestamp(), stored_at = clock_timestamp()`;

function stateOf(row: Row): AutopayState {
  const isWaiting = row.state === 'on' && row.waits;
  return {
    state: isWaiting ? 'waiting' : row.state,
    wallet: { name: row.wallet_name, relayHosts: row.relay_hosts },
    thresholdSat: row.threshold_sat,
    topupSat: row.topup_sat,
    dailyLimitSat: row.daily_limit_sat,
    reason: row.reason,
    reasonText: row.reason && reasonSentence(row.reason),
    nextTryAt: isWaiting ? row.not_before : null,
    spentTodaySat: row.spent_sat,
    last: row.last_at && {
      startedAt: row.last_at,
      amountSat: row.last_sat,
      outcome: row.last_paid ? 'paid' : row.last_ended ? 'unpaid' : 'pending',
      reason: row.last_paid || row.last_answer === null || row.last_answer === 'PAID' ? null : reasonSentence(row.last_answer),
    },
  };
}

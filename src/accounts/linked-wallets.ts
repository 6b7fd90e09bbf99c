import { v7 as uuid } from 'uuid';
import { transaction, type Pool, type PoolClient } from '../db/postgres.ts';
import { GatewayError } from '../errors.ts';
import { lockAccountAs, type ActingKey } from './acting-key.ts';
import { WALLET_PREFIX, type ApiKey } from './api-key.ts';
import { endSessionsOfWallet, walletStandIn, type Session } from './sessions.ts';
import { claimSignature, lockSignature, newcomer } from './wallet-sign-ins.ts';

/** A wallet that may sign in for an account. */
export interface LinkedWallet {
  readonly id: string;
  readonly name: string | null;
  readonly host: string;
  readonly linkedAt: Date;
  readonly lastUsedAt: Date | null;
}

/** What a browser's claim of a signature came to. `unknown`: the wallet is linked to no account. */
export type Login = { readonly key: ApiKey } | 'unsigned' | 'unknown';

/** One signature has come; the second is still to come. */
export class UnconfirmedError extends Error {}

const MOST_WALLETS = 20;
const UNIQUE_VIOLATION = '23505';
const COLUMNS = 'id, name, host, linked_at as "linkedAt", last_used_at as "lastUsedAt"';

/** The wallets that are linked to accounts. Each write decides in its own transaction whether its asker may act. */
export class LinkedWallets {
  readonly #pool: Pool;

  constructor(pool: Pool) {
    this.#pool = pool;
  }

  async list(accountId: string): Promise<LinkedWallet[]> {
    const { rows } = await this.#pool.query<LinkedWallet>(
      `select ${COLUMNS} from linked_wallets where account_id = $1 and unlinked_at is null order by linked_at`,
      [accountId],
    );
    return rows;
  }

  /**
   * Claims the browser's signed login: what stands in for the wallet, to begin a session with. A wallet that is linked to no account
   * leaves its signature unclaimed, so that an account can be made for it.
   */
  login(browser: string, host: string): Promise<Login> {
    return transaction(this.#pool, async (client) => {
      const signature = await lockSignature(client, { browser, action: 'login' });
      if (!signature) return 'unsigned';
      const wallet = await useWallet(client, signature.linkingKey, host);
      if (!wallet) return 'unknown';
      await claimSignature(client, signature, wallet.accountId);
      return { key: walletStandIn(wallet) };
    });
  }

  /**
   * Links the wallet whose signature waits for the browser to the session's account. Gives false where none waits. Throws `not_permitted`
   * for a wallet of another account, or above the most that an account may have.
   */
  link(session: Session, browser: string, host: string): Promise<boolean> {
    return transaction(this.#pool, async (client) => {
      await lockAccountAs(client, session.key, 'owner');
      const signature = await lockSignature(client, { browser, action: 'link', session });
      if (!signature) return false;
      await insertWallet(client, { ...signature, accountId: session.accountId, host });
      await claimSignature(client, signature, session.accountId);
      return true;
    });
  }

  /**
   * Links the wallet of the browser's signed login to an account that is being made, in that transaction. The wallet has to sign twice, for
   * its browser is shown an owner key: another site can have had one signature for a login of its own (relay attack). Throws `not_found`
   * where no login waits, and UnconfirmedError where the second signature has not come.
   */
  async linkNew(client: PoolClient, accountId: string, browser: string, host: string): Promise<void> {
    const login = await lockSignature(client, { browser, action: 'login' });
    if (!login) throw new GatewayError('not_found', { message: 'The code is not valid any more. Show a new one.' });
    const again = await lockSignature(client, { browser, action: 'auth', session: newcomer(browser) });
    if (!again?.linkingKey.equals(login.linkingKey)) throw new UnconfirmedError();
    await insertWallet(client, { ...login, accountId, host });
    await claimSignature(client, login, accountId);
    await claimSignature(client, again, accountId);
  }

  /** Claims the second signature that waits for a wallet's session: whether a wallet of its account made it. */
  confirm(session: Session, browser: string, host: string): Promise<boolean> {
    return transaction(this.#pool, async (client) => {
      const signature = await lockSignature(client, { browser, action: 'auth', session });
      if (!signature) return false;
      // Used up whosever it is: else the page, which goes on by itself once there is a signature, would find the same one for ever.
      await claimSignature(client, signature, session.accountId);
      return (await useWallet(client, signature.linkingKey, host))?.accountId === session.accountId;
    });
  }

  /** Names a wallet of the account. Throws `not_found`. */
  rename(owner: ActingKey, id: string, name: string | null): Promise<void> {
    return transaction(this.#pool, async (client) => {
      await lockAccountAs(client, owner, 'owner');
      const { rowCount } = await client.query(
        'update linked_wallets set name = $3 where id = $1 and account_id = $2 and unlinked_at is null',
        [id, owner.accountId, name],
      );
      if (rowCount === 0) throw noSuchWallet();
    });
  }

  /** Unlinks a wallet, and ends its sessions. Throws `not_permitted` for a wallet that asks: this needs an owner key. */
  unlink(owner: ActingKey, id: string): Promise<void> {
    if (owner.prefix === WALLET_PREFIX) {
      return Promise.reject(new GatewayError('not_permitted', { message: 'Unlinking needs a sign-in with an owner key.' }));
    }
    return transaction(
      this.#pool,
      async (client) => {
        await lockAccountAs(client, owner, 'owner');
        const { rowCount } = await client.query(
          'update linked_wallets set unlinked_at = clock_timestamp() where id = $1 and account_id = $2 and unlinked_at is null',
          [id, owner.accountId],
        );
        if (rowCount === 0) throw noSuchWallet();
        await endSessionsOfWallet(client, id);
      },
      { promised: true },
    );
  }
}

/** How many live wallets are linked under other hosts than this: a wallet's key is another one for each host. */
export async function walletsOfOtherHosts(pool: Pool, host: string): Promise<{ host: string; wallets: number }[]> {
  const { rows } = await pool.query<{ host: string; wallets: number }>(
    'select host, count(*)::integer as wallets from linked_wallets where unlinked_at is null and host <> $1 group by host order by host',
    [host],
  );
  return rows;
}

async function useWallet(
  client: PoolClient,
  linkingKey: Buffer,
  host: string,
): Promise<{ id: string; accountId: string; name: string | null } | null> {
  const { rows } = await client.query<{ id: string; accountId: string; name: string | null }>(
    `update linked_wallets set last_used_at = clock_timestamp() where linking_key = $1 and host = $2 and unlinked_at is null
     returning id, account_id as "accountId", name`,
    [linkingKey, host],
  );
  return rows[0] ?? null;
}

async function insertWallet(
  client: PoolClient,
  { accountId, linkingKey, host }: { accountId: string; linkingKey: Buffer; host: string },
): Promise<void> {
  const { rows } = await client.query<{ account_id: string }>(
    'select account_id from linked_wallets where linking_key = $1 and unlinked_at is null',
    [linkingKey],
  );
  if (rows[0]?.account_id === accountId) return;
  if (rows[0]) throw linkedElsewhere();
  const { rows: counted } = await client.query<{ wallets: number }>(
    'select count(*)::integer as wallets from linked_wallets where account_id = $1 and unlinked_at is null',
    [accountId],
  );
  if ((counted[0]?.wallets ?? 0) >= MOST_WALLETS) {
    throw new GatewayError('not_permitted', { message: `An account has at most ${MOST_WALLETS} linked wallets. Unlink one first.` });
  }
  try {
    await client.query('insert into linked_wallets (id, account_id, linking_key, host) values ($1, $2, $3, $4)', [
      uuid(),
      accountId,
      linkingKey,
      host,
    ]);
  } catch (error) {
    if ((error as { code?: unknown }).code === UNIQUE_VIOLATION) throw linkedElsewhere();
    throw error;
  }
}

function linkedElsewhere(): GatewayError {
  return new GatewayError('not_permitted', { message: 'This wallet is linked to another account.' });
}

function noSuchWallet(): GatewayError {
  return new GatewayError('not_found', { message: 'There is no such linked wallet.' });
}

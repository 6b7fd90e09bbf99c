import { createHash, randomBytes } from 'node:crypto';
import { lockAccountAs, requireLive, type ActingKey } from '../accounts/acting-key.ts';
import { transaction, type Pool, type PoolClient } from '../db/postgres.ts';
import { GatewayError } from '../errors.ts';
import { satsFromMsat } from '../amount.ts';
import { readPaymentRequest } from '../lightning/payment-request.ts';
import type { Network } from '../lightning/wallet.ts';
import { BY_CODE, type Withdrawal } from '../withdrawals/withdrawal.ts';
import type { Withdrawing } from '../withdrawing.ts';
import { lnurlObstacle } from './lnurl-obstacle.ts';
import { encodeLnurl, lnurlLink } from './lnurl-url.ts';

export interface WithdrawCodesOptions {
  pool: Pool;
  withdrawing: Pick<Withdrawing, 'withdraw' | 'status' | 'most'>;
  wallet: { readonly network: Network };
}

/** A code for its owner's eyes: whoever else sees it can take the balance. */
export interface WithdrawCode {
  /** For a QR code, upper case; after `lightning:` it is a link. */
  readonly lnurl: string;
  /** For wallets that know LUD-17. */
  readonly link: string;
  readonly expiresAt: Date;
}

/** How an account's last code stands. `asked`: a wallet has used it, and the payment is on its way. */
export interface WithdrawCodeState {
  readonly state: 'waiting' | 'asked' | 'paid' | 'failed' | 'expired';
  readonly expiresAt: Date;
  /** Once it was used. */
  readonly withdrawal: Withdrawal | null;
}

/** The answer to a wallet's first question (LUD-03). Amounts are msat. */
export interface WithdrawRequest {
  readonly tag: 'withdrawRequest';
  readonly callback: string;
  readonly k1: string;
  readonly defaultDescription: string;
  readonly minWithdrawable: number;
  readonly maxWithdrawable: number;
}

interface CodeRow {
  account_id: string;
  key_id: string;
  key_prefix: string;
  expires_at: Date;
  past: boolean;
  withdrawal_id: string | null;
}

const COLUMNS = `account_id, key_id, key_prefix, expires_at, expires_at <= clock_timestamp() as past, withdrawal_id`;
const K1 = /^[0-9a-f]{64}$/i;
const LIFE_SECONDS = 300;
const LEAST_MSAT = 1_000;

/**
 * Codes to withdraw by (LNURL-withdraw, LUD-03): made by an owner, good for five minutes and one payment. Using a code and holding the money
 * are one transaction; from there on it is a withdrawal like any other.
 */
export class WithdrawCodes {
  readonly #options: WithdrawCodesOptions;

  constructor(options: WithdrawCodesOptions) {
    this.#options = options;
  }

  // ——— The owner's side ———

  /**
   * Makes a code; the one of before is dead once this resolves. That the owner has proven themselves a short while ago is for the caller to
   * see to. Throws GatewayError `not_permitted` where there are no withdrawals, or no wallet could reach the gateway, and what
   * `lockAccountAs` throws.
   */
  async makeCode(owner: ActingKey, origin: string): Promise<WithdrawCode> {
    const { pool, wallet, withdrawing } = this.#options;
    const obstacle = lnurlObstacle(origin, wallet.network);
    if (obstacle !== null) throw new GatewayError('not_permitted', { message: obstacle });
    await withdrawing.most(owner.accountId);
    const k1 = randomBytes(32).toString('hex');
    const expiresAt = await transaction(pool, async (client) => {
      await lockAccountAs(client, owner, 'owner');
      await client.query(
        `delete from withdraw_codes where account_id = $1 and (withdrawal_id is null or created_at < now() - interval '1 day')`,
        [owner.accountId],
      );
      const { rows } = await client.query<{ expires_at: Date }>(
        `insert into withdraw_codes (k1_sha256, account_id, key_id, key_prefix, expires_at)
         values ($1, $2, $3, $4, clock_timestamp() + make_interval(secs => $5)) returning expires_at`,
        [hashOf(k1), owner.accountId, owner.id, owner.prefix, LIFE_SECONDS],
      );
      return rows[0]?.expires_at ?? new Date();
    });
    const url = `${origin}/lnurl/withdraw?k1=${k1}`;
    return { lnurl: encodeLnurl(url), link: lnurlLink('lnurlw', url), expiresAt };
  }

  /** How the account's last code stands; null where there is none. */
  async codeState(accountId: string): Promise<WithdrawCodeState | null> {
    const { rows } = await this.#options.pool.query<CodeRow>(
      `select ${COLUMNS} from withdraw_codes where account_id = $1 order by created_at desc limit 1`,
      [accountId],
    );
    const [row] = rows;
    if (!row) return null;
    const { expires_at: expiresAt, withdrawal_id: withdrawalId } = row;
    if (withdrawalId === null) return { state: row.past ? 'expired' : 'waiting', expiresAt, withdrawal: null };
    const withdrawal = await this.#options.withdrawing.status(accountId, withdrawalId);
    const { state } = withdrawal;
    return { state: state === 'paid' || state === 'failed' ? state : 'asked', expiresAt, withdrawal };
  }

  // ——— The wallet's side ———

  /** What may be taken with a code. Changes nothing, for wallets ask more than once. Throws GatewayError with a sentence for people. */
  async withdrawRequest(k1: string, origin: string): Promise<WithdrawRequest> {
    const { pool, withdrawing } = this.#options;
    const code = await this.#find(k1);
    if (code.withdrawal_id !== null) throw used();
    if (code.past) throw gone();
    await requireLive(pool, ownerOf(code)).catch(told);
    const most = await withdrawing.most(code.account_id);
    if (most < LEAST_MSAT) throw refused('There is nothing that could be withdrawn.');
    return {
      ...{ tag: 'withdrawRequest', callback: `${origin}/lnurl/withdraw/pay`, k1, defaultDescription: 'Pura balance' },
      ...{ minWithdrawable: LEAST_MSAT, maxWithdrawable: Number(most) },
    };
  }

  /**
   * Pays the invoice of whoever has the code. Resolves once the payment is under way; for a repeat of the same code and invoice, tells how
   * that stands. Throws GatewayError with a sentence for people.
   */
  async pay(k1: string, pr: string): Promise<void> {
    const code = await this.#find(k1);
    const request = readPaymentRequest(pr, this.#options.wallet.network);
    const { withdrawal_id: withdrawalId, account_id: accountId } = code;
    if (withdrawalId !== null) {
      const withdrawal = await this.#options.withdrawing.status(accountId, withdrawalId);
      if (withdrawal.bolt11 !== request.bolt11) throw used();
      return tell(withdrawal);
    }
    if (code.past) throw gone();
    if (request.amountMsat < LEAST_MSAT) throw refused('The least that can be withdrawn is 1 sat.');
    const hash = hashOf(k1);
    const asked = {
      ...{ owner: ownerOf(code), paymentRequest: request.bolt11, idempotencyKey: `${BY_CODE}${hash.toString('hex')}` },
      bodySha256: createHash('sha256').update(request.bolt11).digest(),
      onHeld: (client: PoolClient, id: string) => useCode(client, hash, id),
    };
    const { withdrawal } = await this.#options.withdrawing.withdraw(asked).catch((error: unknown) => this.#refuse(error, accountId));
    tell(withdrawal);
  }

  async #find(k1: string): Promise<CodeRow> {
    if (!K1.test(k1)) throw gone();
    const { rows } = await this.#options.pool.query<CodeRow>(`select ${COLUMNS} from withdraw_codes where k1_sha256 = $1`, [hashOf(k1)]);
    if (!rows[0]) throw gone();
    return rows[0];
  }

  async #refuse(error: unknown, accountId: string): Promise<never> {
    if (!(error instanceof GatewayError)) throw error;
    if (error.code === 'insufficient_balance') {
      const most = satsFromMsat(await this.#options.withdrawing.most(accountId));
      throw refused(`That is more than is left: at most ${most} sats can be withdrawn now.`);
    }
    return told(error);
  }
}

/** Forgets codes a day after their time: until then a wallet that asks once more is told how its payment stands. */
export async function forgetWithdrawCodes(pool: Pool): Promise<void> {
  await pool.query(`delete from withdraw_codes where expires_at < now() - interval '1 day'`);
}

/** Marks a code used by the withdrawal that has just been held, in the same transaction. */
async function useCode(client: PoolClient, hash: Buffer, withdrawalId: string): Promise<void> {
  const { rowCount } = await client.query(
    `update withdraw_codes set withdrawal_id = $2 where k1_sha256 = $1 and withdrawal_id is null and expires_at > clock_timestamp()`,
    [hash, withdrawalId],
  );
  if (rowCount !== 1) throw gone();
}

function ownerOf({ key_id: id, account_id: accountId, key_prefix: prefix }: CodeRow): ActingKey {
  return { id, accountId, prefix };
}

function hashOf(k1: string): Buffer {
  return createHash('sha256').update(Buffer.from(k1, 'hex')).digest();
}

const FAILURES: Readonly<Record<string, string>> = {
  no_route: 'No route to your wallet was found.',
  no_liquidity: 'This gateway cannot send that much right now.',
  rejected: 'Your wallet did not take the payment.',
  timed_out: 'The payment took too long.',
};

/** Throws where a withdrawal has failed. Everything else is "taken": a wallet that waits for the money sees it come. */
function tell({ state, failure }: Withdrawal): void {
  if (state !== 'failed') return;
  throw refused(`${FAILURES[failure ?? ''] ?? 'The payment failed.'} Nothing was taken. Show a new code to try again.`);
}

/** Says in a wallet's words what is said to keys elsewhere. */
function told(error: unknown): never {
  const code = error instanceof GatewayError ? error.code : undefined;
  if (code === 'invalid_api_key') throw gone();
  if (code === 'idempotency_conflict') throw used();
  throw error;
}

function gone(): GatewayError {
  return refused('This code is not good any more. Show a new one.');
}

function used(): GatewayError {
  return refused('This code is already used. Show a new one.');
}

function refused(message: string): GatewayError {
  return new GatewayError('invalid_request', { message });
}

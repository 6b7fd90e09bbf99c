import { createHmac, randomUUID } from 'node:crypto';
import { LIVE_KEY, lockAccountAs, type ActingKey } from '../accounts/acting-key.ts';
import { keepWayIn } from '../accounts/way-in.ts';
import type { RootSecret } from '../config/secret-keys.ts';
import { validate as isUuid } from 'uuid';
import { transaction, type Pool, type PoolClient } from '../db/postgres.ts';
import { GatewayError } from '../errors.ts';
import type { Msat } from '../amount.ts';
import { lockAccount } from '../ledger/deposit.ts';
import { deriveKey } from '../secrets.ts';
import { refuseAddress, refuseManyAddresses, TAKES_NOTHING, type AddressPayment } from './address-invoices.ts';
import { expirySecondsOf, INVOICE_COLUMNS, invoicePreimage, paymentHashOf, type InvoiceRow } from './invoice.ts';
import { describeInvoice } from './invoice-seal.ts';
import type { NewInvoice, Wallet } from '../lightning/wallet.ts';

const MOST_OPEN = 5;
/**
 * Unpaid keyless invoices of all senders together. Each costs the node a lookup now and then for more than a
 * day.
 */
const MOST_OPEN_KEYLESS = 4_000;
/** How many of those one sender may have, and the wider networks around the sender: none may have nearly all. */
const MOST_OPEN_A_NETWORK = [MOST_OPEN_KEYLESS / 50, MOST_OPEN_KEYLESS / 40, MOST_OPEN_KEYLESS / 20];
const SENDER_HASH_CHARACTERS = 16;
const OPEN_KEYLESS = `
  select count(*)::integer as total,
    array[count(*) filter (where sender_hashes[1] = ($1::text[])[1]), count(*) filter (where sender_hashes[2] = ($1::text[])[2]),
      count(*) filter (where sender_hashes[3] = ($1::text[])[3])]::integer[] as networks
  from invoices where account_id is null and state in ('creating', 'open') and expires_at > clock_timestamp()`;
/** The lock for adding a keyless invoice: an arbitrary number. */
const KEYLESS_LOCK = 8_402_005;
const NO_WAY_OUT =
  'Nothing can be paid in while the account has no owner key without an expiry. PATCH one with {"expiresAt":null}, or make another.';
/** Enough time to pay: ten minutes, or half of the invoice's life if that is shorter. */
const LASTS = `expires_at >= clock_timestamp() + least(interval '10 minutes', (expires_at - created_at) / 2)`;

/** What the account's own clients have asked for, as against its payers at an address and its wallet. */
const ASKED_FOR = `handle is null and not autopay`;

/** An open invoice of the account that a refusal can offer again. */
const SUITS = `account_id = $1 and node_id = $2 and amount_sat between $3 and $4 and ${ASKED_FOR}
  and (state = 'open' or (state = 'creating' and reusable)) and ${LASTS}`;

interface OfferedAmounts {
  amountSat: number;
  mostSat: number;
}

export interface InvoicesOptions {
  pool: Pool;
  wallet: Pick<Wallet, 'backend' | 'nodeId' | 'network' | 'takesPreimage'>;
  roots: readonly RootSecret[];
  expirySeconds: number;
}

/**
 * The rows of `invoices`. A row is stored in state `creating` before the node is asked for the invoice. If
 * the node's answer is lost, the same invoice is asked for again, never a second one. A row is added under
 * the account's lock. The lock bounds the account's open invoices, and lets parallel refusals of one account
 * share one. Under the same lock it is decided whether the key may still act: throws what `lockAccountAs`
 * throws, and `last_owner_key` if all owner keys of the account expire, because money that was paid in must
 * be able to leave again.
 */
export class Invoices {
  readonly #options: InvoicesOptions;
  readonly #pool: Pool;
  /**
   * The searches for an invoice to offer that are under way, each with the making of a new one if it comes to
   * that.
   */
  readonly #offers = new Map<string, Promise<InvoiceRow>>();

  constructor(options: InvoicesOptions) {
    this.#options = options;
    this.#pool = options.pool;
  }

  /**
   * The row for a top-up that the client asked for: a new one, or the one of the same idempotency key (`replayed`).
   * Throws GatewayError `idempotency_conflict` for the same key with another body, `too_many_invoices`.
   */
  async reserve(
    key: ActingKey,
    topUp: { amountSat: number; idempotencyKey?: string | undefined; bodySha256?: Buffer | undefined },
  ): Promise<{ row: InvoiceRow; replayed: boolean }> {
    const { accountId } = key;
    const { amountSat, idempotencyKey = null, bodySha256 = null } = topUp;
    return transaction(this.#pool, async (client) => {
      await beginAs(client, key);
      if (idempotencyKey !== null) {
        await client.query(
          `update invoices set idempotency_key = null, idempotency_sha256 = null
           where account_id = $1 and idempotency_key = $2
             and (created_at < now() - interval '24 hours' or state = 'failed' or (state = 'creating' and node_id <> $3))`,
          // A creation without an answer stays with its node: if another node made the invoice, it would
          // never be credited.
          [accountId, idempotencyKey, this.#options.wallet.nodeId],
        );
        const same = await one(client, `account_id = $1 and idempotency_key = $2`, [accountId, idempotencyKey]);
        if (same && !same.idempotency_sha256?.equals(bodySha256 ?? Buffer.alloc(0))) throw new GatewayError('idempotency_conflict');
        // A row whose creation failed was never shown to a client: completing it now gives the first answer.
        if (same) return { row: same, replayed: same.state !== 'creating' || same.checks === 0 };
      } else {
        const lost = await this.#adoptLostCreation(client, accountId, amountSat);
        if (lost) return { row: lost, replayed: false };
      }
      return { row: await this.#add(client, accountId, { amountSat, idempotencyKey, bodySha256, reusable: false }), replayed: false };
    });
  }

  /**
   * The row for a refusal's invoice of `amountSat`, or of more up to `mostSat`: an open one of the account
   * that has ten minutes left (or half its life, if that is shorter), else a new one. A key's parallel
   * refusals of one amount wait for the account's lock together, as one. Throws GatewayError
   * `too_many_invoices`.
   */
  async reserveOffer(key: ActingKey, amounts: OfferedAmounts): Promise<InvoiceRow> {
    const offered = await one(
      this.#pool,
      `${SUITS} and reusable and exists (select from api_keys where id = $5 and account_id = $1 and prefix = $6 and ${LIVE_KEY})`,
      [...this.#suiting(key, amounts), key.id, key.prefix],
    );
    if (offered) return offered;
    const name = `${key.id} ${key.prefix} ${amounts.amountSat} ${amounts.mostSat}`;
    const underWay = this.#offers.get(name);
    if (underWay) return underWay;
    const offer = this.#reserveOffer(key, amounts).finally(() => this.#offers.delete(name));
    this.#offers.set(name, offer);
    return offer;
  }

  #reserveOffer(key: ActingKey, amounts: OfferedAmounts): Promise<InvoiceRow> {
    const { accountId } = key;
    return transaction(this.#pool, async (client) => {
      await beginAs(client, key);
      const values = this.#suiting(key, amounts);
      const open = await one(client, `${SUITS} order by reusable desc, amount_sat, expires_at desc limit 1 for update`, values);
      await client.query(`update invoices set reusable = false where account_id = $1 and reusable and id is distinct from $2`, [
        accountId,
        open?.id ?? null,
      ]);
      const { amountSat } = amounts;
      if (!open) return this.#add(client, accountId, { amountSat, idempotencyKey: null, bodySha256: null, reusable: true });
      await client.query(`update invoices set reusable = true where id = $1 and not reusable`, [open.id]);
      return open;
    });
  }

  /** The values of `SUITS`. */
  #suiting({ accountId }: ActingKey, { amountSat, mostSat }: OfferedAmounts): unknown[] {
    return [accountId, this.#options.wallet.nodeId, amountSat, mostSat];
  }

  /**
   * The open keyless row with this id, if its amount is from `amountSat` to `mostSat` and it can be offered
   * again.
   */
  async findKeyless(id: string, { amountSat, mostSat }: { amountSat: number; mostSat: number }): Promise<InvoiceRow | undefined> {
    const values = [id, this.#options.wallet.nodeId, amountSat, mostSat];
    return one(
      this.#pool,
      `id = $1 and account_id is null and node_id = $2 and amount_sat between $3 and $4 and state = 'open' and ${LASTS}`,
      values,
    );
  }

  /**
   * The row for an invoice that belongs to nobody yet, with the id of the key row that its payment will make.
   * Throws GatewayError `too_many_invoices` if too many such invoices are open, of all senders or of one of
   * `networks`. `networks`: those of the sender, narrowest first.
   */
  async reserveKeyless(amountSat: number, networks: readonly string[] = []): Promise<InvoiceRow> {
    const senderHashes = networks.map((network) => this.#senderHash(network));
    return transaction(this.#pool, async (client) => {
      await client.query(`select pg_advisory_xact_lock($1)`, [KEYLESS_LOCK]);
      const { rows } = await client.query<{ total: number; networks: number[] }>(OPEN_KEYLESS, [senderHashes]);
      const open = rows[0];
      const isSpent = senderHashes.some((_, width) => (open?.networks[width] ?? 0) >= (MOST_OPEN_A_NETWORK[width] ?? 0));
      if (isSpent || (open?.total ?? 0) >= MOST_OPEN_KEYLESS) throw new GatewayError('too_many_invoices', { retryAfter: 60 });
      return this.#insert(client, null, { amountSat, idempotencyKey: null, bodySha256: null, reusable: false, senderHashes });
    });
  }

  /**
   * The row for an invoice that a payer's wallet asks for at the account's Lightning Address, which is not counted among the account's open
   * ones. Throws GatewayError `not_found` and `too_many_invoices`, and `last_owner_key` where the account has no lasting way in.
   */
  async reserveAddress(payment: AddressPayment, networks: readonly string[]): Promise<InvoiceRow> {
    const senderHashes = networks.map((network) => this.#senderHash(network));
    await refuseAddress(this.#pool, payment);
    return transaction(this.#pool, async (client) => {
      await client.query("set local lock_timeout = '1s'");
      await lockAccount(client, payment.accountId);
      await refuseAddress(client, payment);
      await refuseManyAddresses(client, senderHashes);
      const row = { amountSat: payment.amountSat, idempotencyKey: null, bodySha256: null, reusable: false, senderHashes };
      const added = await this.#insert(client, payment.accountId, { ...row, address: payment });
      await keepWayIn(client, payment.accountId, TAKES_NOTHING);
      return added;
    });
  }

  /**
   * The row for an invoice that the account's own wallet is asked to pay, in the caller's transaction, which holds the account's lock. It
   * is not counted among the account's open ones.
   */
  async reserveAutopay(client: PoolClient, accountId: string, amountSat: number): Promise<InvoiceRow> {
    const added = await this.#insert(client, accountId, {
      ...{ amountSat, idempotencyKey: null, bodySha256: null, reusable: false },
      autopay: true,
    });
    await keepWayIn(client, accountId, NO_WAY_OUT);
    return added;
  }

  /** A network is stored as a digest, which does not tell which network it is. */
  #senderHash(network: string): string {
    const [root] = this.#options.roots;
    if (!root) throw new RangeError('no root secret');
    return createHmac('sha256', deriveKey(root, 'sender')).update(network).digest('base64url').slice(0, SENDER_HASH_CHARACTERS);
  }

  /** The preimage of a row: the same each time that the node is asked. */
  preimage(row: Pick<InvoiceRow, 'id' | 'payment_hash'>): Buffer {
    return invoicePreimage(this.#options.roots, row.id, row.payment_hash);
  }

  /** The preimage of a row whose node took ours. Null where the wallet chose it. */
  knownPreimage(row: Pick<InvoiceRow, 'id' | 'payment_hash'>): Buffer | null {
    try {
      return this.preimage(row);
    } catch {
      return null;
    }
  }

  /** What the node is to write into the invoice: for the payer, and for the case that the row is lost. */
  description({ id, account_id: accountId, payer_key_id: payerKeyId, amount_sat: amountSat }: InvoiceRow): string {
    const owner = payerKeyId === null ? accountId && { accountId } : { payerKeyId };
    if (!owner) throw new Error(`invoice ${id} belongs to nobody and to no key`);
    return describeInvoice(this.#options.roots, { invoiceId: id, owner, amountSat });
  }

  /** Stores what the node made. Returns the row as it is now; another process may have opened it first. */
  async opened(id: string, made: NewInvoice): Promise<InvoiceRow | undefined> {
    await this.#pool.query(
      `update invoices set state = 'open', bolt11 = $2, payment_hash = $3, expires_at = $4, checks = 0, next_check_at = clock_timestamp() + interval '5 seconds'
       where id = $1 and state in ('creating', 'failed')`,
      [id, made.bolt11, made.paymentHash, made.expiresAt],
    );
    return this.find(id);
  }

  /**
   * The node's answer to a creation was lost, or was a failure. If we chose the preimage, the node can be
   * asked again. If the wallet chose it, the invoice was shown to nobody and the row is finished.
   */
  async creationFailed(id: string): Promise<void> {
    await this.#pool.query(
      `update invoices set checks = checks + 1, reusable = reusable and payment_hash is not null,
         state = case when payment_hash is null then 'failed' else state end,
         next_check_at = case when payment_hash is null then null else clock_timestamp() + interval '5 seconds' end
       where id = $1 and state = 'creating'`,
      [id],
    );
  }

  /** A row by its id, of the given account where one is given. */
  async find(id: string, accountId?: string): Promise<InvoiceRow | undefined> {
    if (!isUuid(id)) return undefined;
    return one(this.#pool, `id = $1 and ($2::uuid is null or account_id = $2)`, [id, accountId ?? null]);
  }

  /** Invoices of an account that somebody asked for and that can be paid now, the ones that expire last first. */
  async openOf(accountId: string): Promise<InvoiceRow[]> {
    const { rows } = await this.#pool.query<InvoiceRow>(
      `select ${INVOICE_COLUMNS} from invoices where account_id = $1 and node_id = $2 and state = 'open' and expires_at > clock_timestamp()
         and ${ASKED_FOR}
       order by expires_at desc limit $3`,
      [accountId, this.#options.wallet.nodeId, MOST_OPEN],
    );
    return rows;
  }

  /** The row of a payment to a node. */
  async findByHash(paymentHash: Buffer, nodeId: string): Promise<InvoiceRow | undefined> {
    return one(this.#pool, `payment_hash = $1 and node_id = $2`, [paymentHash, nodeId]);
  }

  /** A row by its payment hash, of whatever node. */
  async findPayment(paymentHash: Buffer): Promise<InvoiceRow | undefined> {
    return one(this.#pool, `payment_hash = $1`, [paymentHash]);
  }

  /** Locks a row in the caller's transaction, after its account, and gives what it is now. */
  async lock(client: PoolClient, id: string): Promise<InvoiceRow | undefined> {
    return one(client, `id = $1 for update`, [id]);
  }

  /** Marks a locked row paid, from whatever state. */
  async markPaid(client: PoolClient, id: string, paid: { receivedMsat: Msat; transferId: bigint; settledAt: Date | null }): Promise<void> {
    await client.query(
      `update invoices set state = 'paid', received_msat = $2, transfer_id = $3, paid_at = coalesce($4, clock_timestamp()),
         credited_at = clock_timestamp(), next_check_at = null, reusable = false
       where id = $1`,
      [id, paid.receivedMsat, paid.transferId, paid.settledAt],
    );
  }

  /** Gives a locked keyless row to the account that its payment made. */
  async assign(client: PoolClient, id: string, accountId: string): Promise<void> {
    await client.query(`update invoices set account_id = $2 where id = $1 and account_id is null`, [id, accountId]);
  }

  /**
   * A failed creation of the same amount that no client has seen, for a client that asks again without an
   * idempotency key.
   */
  async #adoptLostCreation(client: PoolClient, accountId: string, amountSat: number): Promise<InvoiceRow | undefined> {
    const lost = await one(
      client,
      `account_id = $1 and amount_sat = $2 and node_id = $3 and state = 'creating' and checks > 0 and idempotency_key is null and not reusable
         and ${ASKED_FOR}
       order by created_at limit 1 for update`,
      [accountId, amountSat, this.#options.wallet.nodeId],
    );
    if (lost) await client.query(`update invoices set checks = 0 where id = $1`, [lost.id]);
    return lost;
  }

  async #add(client: PoolClient, accountId: string, row: NewRow): Promise<InvoiceRow> {
    const open = await client.query<{ count: bigint }>(
      `select count(*) from invoices
       where account_id = $1 and state in ('creating', 'open') and expires_at > clock_timestamp() and ${ASKED_FOR}`,
      [accountId],
    );
    if ((open.rows[0]?.count ?? 0n) >= MOST_OPEN) throw new GatewayError('too_many_invoices');
    const added = await this.#insert(client, accountId, row);
    await keepWayIn(client, accountId, NO_WAY_OUT);
    return added;
  }

  async #insert(client: PoolClient, accountId: string | null, row: NewRow): Promise<InvoiceRow> {
    const { wallet, roots, expirySeconds } = this.#options;
    const id = randomUUID();
    const paymentHash = wallet.takesPreimage ? paymentHashOf(invoicePreimage(roots, id)) : null;
    const { rows } = await client.query<InvoiceRow>(
      `insert into invoices (id, account_id, backend, node_id, network, payment_hash, amount_sat, reusable, idempotency_key, idempotency_sha256,
         expires_at, next_check_at, payer_key_id, sender_hashes, handle, address_metadata, payer_comment, autopay)
       values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, clock_timestamp() + make_interval(secs => $11), clock_timestamp() + interval '15 seconds', $12, $13, $14, $15, $16, $17)
       returning ${INVOICE_COLUMNS}`,
      [
        id,
        accountId,
        wallet.backend,
        wallet.nodeId,
        wallet.network,
        paymentHash,
        row.amountSat,
        row.reusable,
        row.idempotencyKey,
        row.bodySha256,
        expirySecondsOf({ handle: row.address?.handle ?? null, autopay: row.autopay ?? false }, expirySeconds),
        accountId === null ? randomUUID() : null,
        row.senderHashes ?? null,
        row.address?.handle ?? null,
        row.address?.metadata ?? null,
        row.address?.comment ?? null,
        row.autopay ?? false,
      ],
    );
    const added = rows[0];
    if (!added) throw new Error('an insert gave no row');
    return { ...added, fresh: true };
  }
}

interface NewRow {
  amountSat: number;
  idempotencyKey: string | null;
  bodySha256: Buffer | null;
  reusable: boolean;
  senderHashes?: string[];
  address?: AddressPayment;
  autopay?: boolean;
}

/**
 * Takes the account's lock for a key. Ends creations whose answer is lost for good: the wallet chose the hash
 * and never told it.
 */
async function beginAs(client: PoolClient, key: ActingKey): Promise<void> {
  await lockAccountAs(client, key, 'inference');
  await client.query(
    `update invoices set state = 'failed', reusable = false, next_check_at = null
     where account_id = $1 and state = 'creating' and payment_hash is null and created_at < now() - interval '15 seconds'`,
    [key.accountId],
  );
}

async function one(client: Pool | PoolClient, condition: string, values: unknown[]): Promise<InvoiceRow | undefined> {
  const { rows } = await client.query<InvoiceRow>(`select ${INVOICE_COLUMNS} from invoices where ${condition}`, values);
  return rows[0];
}

import { createECDH, createHash, randomBytes } from 'node:crypto';
import bolt11 from 'bolt11';
import type { RootSecret } from '../../config/secret-keys.ts';
import type { Notifications } from '../../db/notify.ts';
import { isConnectionLost, type Pool } from '../../db/postgres.ts';
import { GatewayError } from '../../errors.ts';
import { msat, type Msat } from '../../amount.ts';
import { deriveKey } from '../../secrets.ts';
import { descriptionHash, requireDescriptionHash } from '../description-hash.ts';
import { SimulatedBooks } from './simulated-books.ts';
import { SimulatedPayments } from './simulated-payments.ts';
import type { InvoiceRequest, InvoiceState, NewInvoice, SettlementListener, Wallet } from '../wallet.ts';
import type { WalletMeans } from '../wallet-means.ts';

const CHANNEL = 'simulated_settlement';
const REGTEST = { bech32: 'bcrt', pubKeyHash: 0x6f, scriptHash: 0xc4, validWitnessVersions: [0, 1] };
const ROOM_MSAT = 100_000_000_000n;
const MEANS = `
  select greatest(0, (select coalesce(sum(received_msat), 0) from simulated_invoices where state = 'settled')
    - (select coalesce(sum(w.amount_msat + w.fee_msat), 0) from withdrawals w where w.state = 'paid' and w.backend = 'simulated'))::bigint as spendable`;
const MIN_FINAL_CLTV_BLOCKS = 80;
/** As a node of today sets them: onion and payment secret required, multi-part payments supported (BOLT 9). */
const FEATURES = {
  word_length: 4,
  var_onion_optin: { required: true },
  payment_secret: { required: true },
  basic_mpp: { supported: true },
};

interface SimulatedInvoiceRow {
  payment_hash: Buffer;
  preimage: Buffer;
  bolt11: string;
  amount_msat: bigint;
  state: 'open' | 'settled' | 'canceled';
  received_msat: bigint | null;
  expires_at: Date;
  settled_at: Date | null;
  description: string | null;
}

export interface SimulatedWalletOptions {
  pool: Pool;
  notifications: Notifications;
  /** The node's key is derived from it, so that the node is the same one after a restart. */
  root: RootSecret;
}

/**
 * A Lightning node that holds play money: its invoices are real, signed regtest BOLT11, and nothing but `pay` settles them.
 * Its state lives in the gateway's database, so it survives restarts and is shared by gateways.
 */
export class SimulatedWallet implements Wallet {
  readonly backend = 'simulated';
  readonly network = 'simulated';
  readonly takesPreimage = true;
  readonly nodeId: string;
  readonly payments = new SimulatedPayments((sql, values) => this.#query(sql, values));
  readonly books = new SimulatedBooks((sql, values) => this.#query(sql, values), descriptionOf);
  readonly #pool: Pool;
  readonly #notifications: Notifications;
  readonly #nodeKey: Buffer;

  constructor({ pool, notifications, root }: SimulatedWalletOptions) {
    this.#pool = pool;
    this.#notifications = notifications;
    this.#nodeKey = deriveKey(root, 'simulated-node');
    const curve = createECDH('secp256k1');
    curve.setPrivateKey(this.#nodeKey);
    this.nodeId = curve.getPublicKey('hex', 'compressed');
  }

  async createInvoice(request: InvoiceRequest): Promise<NewInvoice> {
    const { amountMsat, description, metadata, expirySeconds, preimage } = request;
    const paymentHash = createHash('sha256').update(preimage).digest();
    const now = await this.#query<{ now: Date }>(`select clock_timestamp() as now`);
    const timestamp = Math.floor((now[0]?.now ?? new Date()).getTime() / 1000);
    const unsigned = bolt11.encode({
      network: REGTEST,
      timestamp,
      millisatoshis: amountMsat.toString(),
      tags: [
        { tagName: 'payment_hash', data: paymentHash.toString('hex') },
        { tagName: 'payment_secret', data: randomBytes(32).toString('hex') },
        metadata === undefined
          ? { tagName: 'description', data: description }
          : { tagName: 'purpose_commit_hash', data: descriptionHash(metadata).toString('hex') },
        { tagName: 'expire_time', data: expirySeconds },
        { tagName: 'min_final_cltv_expiry', data: MIN_FINAL_CLTV_BLOCKS },
        { tagName: 'feature_bits', data: FEATURES },
      ],
    });
    const { paymentRequest } = bolt11.sign(unsigned, this.#nodeKey);
    const expiresAt = new Date((timestamp + expirySeconds) * 1000);
    // Asked again for the same preimage, the first invoice stands: the no-op update only makes it come back.
    const rows = await this.#query<SimulatedInvoiceRow>(
      `insert into simulated_invoices as i (payment_hash, preimage, bolt11, amount_msat, expires_at, description) values ($1, $2, $3, $4, $5, $6)
       on conflict (payment_hash) do update set state = i.state returning *`,
      [paymentHash, preimage, paymentRequest, amountMsat, expiresAt, metadata === undefined ? null : description],
    );
    const row = rows[0];
    if (!row) throw new GatewayError('lightning_unavailable');
    requireDescriptionHash(metadata, bolt11.decode(row.bolt11, REGTEST).tagsObject.purpose_commit_hash);
    return { bolt11: row.bolt11, paymentHash, expiresAt: row.expires_at };
  }

  async lookupInvoice(paymentHash: Buffer): Promise<InvoiceState | null> {
    const rows = await this.#query<SimulatedInvoiceRow>(`select * from simulated_invoices where payment_hash = $1`, [paymentHash]);
    return rows[0] ? stateOf(rows[0]) : null;
  }

  async watchSettlements(onSettled: SettlementListener, signal: AbortSignal, onSubscribed: () => void = () => {}): Promise<void> {
    if (signal.aborted) return;
    const stop = this.#notifications.listen(
      CHANNEL,
      (hash) => {
        // A lookup that fails here is made up for by the schedule of whoever watches.
        this.lookupInvoice(Buffer.from(hash, 'hex')).then(
          (state) => void (state && onSettled(state)),
          () => {},
        );
      },
      onSubscribed,
    );
    await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
    stop();
  }

  /**
   * Settles an invoice as a payer's wallet would and gives its preimage. `amountMsat` may overpay, up to twice the amount (BOLT 4).
   * Throws GatewayError `invoice_not_found` for an invoice that is not this node's, `invalid_request` for one that is malformed, paid,
   * canceled or expired, or an amount that the node would not take.
   */
  async pay(paymentRequest: string, amountMsat?: Msat): Promise<Buffer> {
    const paymentHash = paymentHashOf(paymentRequest);
    const rows = await this.#query<SimulatedInvoiceRow & { due: boolean }>(
      `select *, expires_at > clock_timestamp() as due from simulated_invoices where payment_hash = $1 and bolt11 = $2`,
      [paymentHash, paymentRequest.toLowerCase()],
    );
    const invoice = rows[0];
    if (!invoice) throw new GatewayError('invoice_not_found');
    if (invoice.state === 'settled') throw refusal('The invoice is already paid.');
    if (invoice.state === 'canceled') throw refusal('The invoice is canceled.');
    if (!invoice.due) throw refusal('The invoice has expired.');
    const received = amountMsat ?? msat(invoice.amount_msat);
    if (received < invoice.amount_msat || received > invoice.amount_msat * 2n)
      throw refusal('The node takes the amount asked for, up to twice.');
    const settled = await this.#query(
      `update simulated_invoices
       set state = 'settled', received_msat = $2, settle_index = nextval('simulated_settle_index'), settled_at = clock_timestamp()
       where payment_hash = $1 and state = 'open' returning 1`,
      [paymentHash, received],
    );
    if (settled.length === 0) throw refusal('The invoice is already paid.');
    await this.#notifications.notify(CHANNEL, paymentHash.toString('hex')).catch(() => {});
    return invoice.preimage;
  }

  /** Play money is made where it is received: the node has what came in less what went out, and room for a bitcoin. */
  async means(): Promise<WalletMeans> {
    const rows = await this.#query<{ spendable: bigint }>(MEANS);
    return { spendableMsat: msat(rows[0]?.spendable ?? 0n), receivableMsat: msat(ROOM_MSAT), pendingMsat: msat(0n) };
  }

  async status(): Promise<{ ready: boolean; reason?: string }> {
    try {
      await this.#query(`select 1 from simulated_invoices limit 1`);
      return { ready: true };
    } catch {
      return { ready: false, reason: 'the simulated node cannot reach its database' };
    }
  }

  async close(): Promise<void> {}

  async #query<Row extends object>(sql: string, values: unknown[] = []): Promise<Row[]> {
    try {
      const { rows } = await this.#pool.query<Row>(sql, values);
      return rows;
    } catch (error) {
      throw isConnectionLost(error) ? new GatewayError('lightning_unavailable', { cause: error }) : error;
    }
  }
}

function stateOf(row: SimulatedInvoiceRow): InvoiceState {
  return {
    paymentHash: row.payment_hash,
    status: row.state,
    ...(row.received_msat !== null && {
      receivedMsat: msat(row.received_msat),
      bolt11: row.bolt11,
      description: row.description ?? descriptionOf(row.bolt11),
    }),
    ...(row.settled_at !== null && { settledAt: row.settled_at }),
  };
}

/** Of an invoice that this node made, and so can be read. */
function descriptionOf(paymentRequest: string): string {
  return bolt11.decode(paymentRequest, REGTEST).tagsObject.description ?? '';
}

function paymentHashOf(paymentRequest: string): Buffer {
  try {
    const hash = bolt11.decode(paymentRequest).tagsObject.payment_hash;
    if (hash) return Buffer.from(hash, 'hex');
  } catch {
    // The library's message is about its own parser: the payer gets ours.
  }
  throw refusal('This is not a BOLT11 invoice.');
}

function refusal(message: string): GatewayError {
  return new GatewayError('invalid_request', { message, param: 'paymentRequest' });
}

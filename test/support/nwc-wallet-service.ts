import { createHash, randomBytes } from 'node:crypto';
import { NWCClient, NWCWalletService, NWCWalletServiceKeyPair, type Nip47Method, type Nip47Transaction } from '@getalby/sdk/nwc';
import bolt11 from 'bolt11';
import { msat } from '../../src/amount.ts';
import type { SimulatedWallet } from '../../src/lightning/simulated/simulated.ts';
import type { InvoiceState } from '../../src/lightning/wallet.ts';

export interface NwcServiceOptions {
  relayUrl: string;
  /** Where the money comes in. */
  node: SimulatedWallet;
  /** What the connection allows. */
  methods?: readonly Nip47Method[];
  network?: string;
  /** Changes the wallet's word on an invoice, or makes it say something else altogether. */
  tells?: (found: Partial<Nip47Transaction>) => unknown;
}

/** A wallet behind Nostr Wallet Connect: the library's own wallet service over the simulated node. */
export interface NwcService {
  /** The connection, with its secret. */
  readonly url: string;
  readonly walletPubkey: string;
  /** The invoices it made, oldest first. */
  readonly invoices: readonly string[];
  lookups: number;
  /** What it lists as paid to it, newest first, whatever the node has; undefined where it does not list. */
  listed: ((request: { from?: number; limit?: number; offset?: number }) => unknown[]) | undefined;
  /** What it says that it has, in msat; undefined where it does not tell. */
  balanceMsat: number | undefined;
  /** While true, requests are carried out and never answered. */
  mute: boolean;
  tells: (found: Partial<Nip47Transaction>) => unknown;
  /** What the connection allows from now on. */
  methods: readonly Nip47Method[];
  /** Pays an invoice as a payer does, and notifies so many times. */
  pay(invoice: string, options?: { notifications?: number; amountMsat?: bigint }): Promise<void>;
  /** Tells the gateway of a payment, of whatever kind. */
  notify(notification: unknown): Promise<void>;
  /** What it does with the hash of a description. */
  hashes: 'taken' | 'refused' | 'ignored';
  /** Invoices are made for so many times what was asked for. */
  factor: number;
  /** Connects to the relay (again), as a wallet that comes back. */
  connect(): Promise<void>;
  /** Leaves the relay, as a wallet that goes offline. */
  disconnect(): void;
}

export const RECEIVE_ONLY: readonly Nip47Method[] = ['get_info', 'make_invoice', 'lookup_invoice', 'list_transactions'];
const NOTIFICATION = 23197;

export async function startNwcService({
  relayUrl,
  node,
  methods = RECEIVE_ONLY,
  network = 'regtest',
  tells = (found) => found,
}: NwcServiceOptions): Promise<NwcService> {
  const walletSecret = randomBytes(32).toString('hex');
  const clientSecret = randomBytes(32).toString('hex');
  const clientPubkey = new NWCClient({ relayUrls: [relayUrl], walletPubkey: '0'.repeat(64), secret: clientSecret }).publicKey;
  const keys = new NWCWalletServiceKeyPair(walletSecret, clientPubkey);
  const invoices: string[] = [];
  let service: NWCWalletService | undefined;
  let unsubscribe = (): void => {};

  /** Never resolves for a wallet that does not answer. */
  const answer = async <T>(result: T) => {
    if (running.mute) await new Promise(() => {});
    return { result, error: undefined };
  };
  const word = async (paymentHash: Buffer): Promise<Partial<Nip47Transaction> | undefined> => {
    const state = await node.lookupInvoice(paymentHash);
    return state ? transactionOf(state) : undefined;
  };

  const handler: Parameters<NWCWalletService['subscribe']>[1] = {
    getInfo: () =>
      answer({ alias: 'test', color: '', pubkey: node.nodeId, network, block_height: 1, block_hash: '', methods: [...running.methods] }),
    async makeInvoice({ amount, description = '', description_hash: hash, expiry = 3600 }) {
      // As some do: not without the text that the hash is of.
      const isOfText = hash === createHash('sha256').update(description).digest('hex');
      if (hash !== undefined && (running.hashes === 'refused' || !isOfText))
        return { result: undefined, error: { code: 'INTERNAL', message: 'no hash' } };
      const preimage = randomBytes(32);
      const made = await node.createInvoice({
        amountMsat: msat(BigInt(amount * running.factor)),
        description,
        ...(hash !== undefined && running.hashes === 'taken' && { metadata: description }),
        expirySeconds: expiry,
        preimage,
      });
      invoices.push(made.bolt11);
      const { payment_hash } = bolt11.decode(made.bolt11).tagsObject;
      return answer({ type: 'incoming', state: 'pending', invoice: made.bolt11, payment_hash, amount } as Nip47Transaction);
    },
    async lookupInvoice({ payment_hash = '' }) {
      running.lookups++;
      const found = await word(Buffer.from(payment_hash, 'hex'));
      if (!found) return { result: undefined, error: { code: 'NOT_FOUND', message: 'no such invoice' } };
      return answer(running.tells(found) as Nip47Transaction);
    },
  };

  handler.getBalance = async () => {
    if (running.balanceMsat === undefined) return { result: undefined, error: { code: 'NOT_IMPLEMENTED', message: 'no balance' } };
    return answer({ balance: running.balanceMsat });
  };

  handler.listTransactions = async (request) => {
    if (!running.listed) return { result: undefined, error: { code: 'NOT_IMPLEMENTED', message: 'no list' } };
    return answer({ transactions: running.listed(request) as Nip47Transaction[], total_count: 0 });
  };

  const running: NwcService = {
    url: `nostr+walletconnect://${keys.walletPubkey}?relay=${encodeURIComponent(relayUrl)}&secret=${clientSecret}`,
    walletPubkey: keys.walletPubkey,
    invoices,
    lookups: 0,
    listed: undefined,
    balanceMsat: undefined,
    mute: false,
    factor: 1,
    hashes: 'taken',
    methods,
    tells,
    notify,
    async pay(invoice, { notifications = 1, amountMsat } = {}) {
      await node.pay(invoice, amountMsat === undefined ? undefined : msat(amountMsat));
      const found = await word(Buffer.from(bolt11.decode(invoice).tagsObject.payment_hash ?? '', 'hex'));
      for (let sent = 0; sent < notifications; sent++) await notify(running.tells(found ?? {}));
    },
    async connect() {
      service = new NWCWalletService({ relayUrls: [relayUrl] });
      neverRejecting(service.pool);
      await service.publishWalletServiceInfoEvent(walletSecret, [...methods] as never[], ['payment_received']);
      unsubscribe = await service.subscribe(keys, handler);
    },
    disconnect() {
      unsubscribe();
      service?.pool.destroy();
      service = undefined;
    },
  };

  async function notify(notification: unknown): Promise<void> {
    if (!service) return;
    const content = await service.encrypt(keys, JSON.stringify({ notification_type: 'payment_received', notification }), 'nip44_v2');
    const created_at = Math.floor(Date.now() / 1000);
    // A tag of no meaning, or two of the same second would be one event.
    const tags = [
      ['p', clientPubkey],
      ['nonce', randomBytes(4).toString('hex')],
    ];
    const event = await service.signEvent({ kind: NOTIFICATION, created_at, tags, content: String(content) }, walletSecret);
    await Promise.all(service.pool.publish([relayUrl], event));
  }

  await running.connect();
  return running;
}

/** The library publishes its answers without looking back, so that one that a leaving wallet cannot send would end the test. */
function neverRejecting(pool: NWCWalletService['pool']): void {
  const publish = pool.publish.bind(pool);
  pool.publish = (...request) => publish(...request).map((sent) => sent.catch(() => 'not sent'));
}

function transactionOf({ paymentHash, status, receivedMsat, settledAt }: InvoiceState): Partial<Nip47Transaction> {
  return {
    type: 'incoming',
    state: status === 'settled' ? 'settled' : 'pending',
    payment_hash: paymentHash.toString('hex'),
    preimage: randomBytes(32).toString('hex'),
    amount: Number(receivedMsat ?? 0n),
    ...(settledAt && { settled_at: Math.floor(settledAt.getTime() / 1000) }),
  };
}

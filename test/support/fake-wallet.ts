import { createHash } from 'node:crypto';
import { GatewayError } from '../../src/errors.ts';
import { msat, type Msat } from '../../src/amount.ts';
import type { InvoiceState, Network, NewInvoice, SettlementListener, Wallet } from '../../src/lightning/wallet.ts';

/** A wallet whose node does what a test says: answers late or never, settles late or with more, forgets, chooses the hash itself. */
export class FakeWallet implements Wallet {
  readonly backend = 'lnd';
  readonly network: Network;
  readonly nodeId: string;
  readonly takesPreimage: boolean;
  readonly node = new Map<string, InvoiceState & { bolt11: string; amountMsat: Msat }>();
  creations = 0;
  lookups = 0;
  /** While true, creations are accepted by the node but their answers are lost. */
  loseAnswers = false;
  /** While true, the node cannot be reached. */
  away = false;
  /** While true, no subscription comes into effect. */
  refusesSubscriptions = false;
  readonly #watchers = new Set<SettlementListener>();
  #cut = new AbortController();

  constructor({
    nodeId = '02fake',
    takesPreimage = true,
    network = 'regtest',
  }: { nodeId?: string; takesPreimage?: boolean; network?: Network } = {}) {
    this.nodeId = nodeId;
    this.takesPreimage = takesPreimage;
    this.network = network;
  }

  async createInvoice(request: { amountMsat: Msat; expirySeconds: number; preimage: Buffer }): Promise<NewInvoice> {
    this.creations++;
    this.#answer();
    const secret = this.takesPreimage ? request.preimage : Buffer.from(`wallet's own ${this.creations}`);
    const paymentHash = createHash('sha256').update(secret).digest();
    const hash = paymentHash.toString('hex');
    const bolt11 = this.node.get(hash)?.bolt11 ?? `lnbcrt1fake${hash}`;
    if (!this.node.has(hash)) this.node.set(hash, { paymentHash, status: 'open', bolt11, amountMsat: request.amountMsat });
    if (this.loseAnswers) throw new GatewayError('lightning_unavailable');
    return { bolt11, paymentHash, expiresAt: new Date(Date.now() + request.expirySeconds * 1000) };
  }

  async lookupInvoice(paymentHash: Buffer): Promise<InvoiceState | null> {
    this.lookups++;
    this.#answer();
    return this.node.get(paymentHash.toString('hex')) ?? null;
  }

  async watchSettlements(onSettled: SettlementListener, signal: AbortSignal, onSubscribed: () => void = () => {}): Promise<void> {
    if (this.refusesSubscriptions) throw new GatewayError('lightning_unavailable');
    this.#watchers.add(onSettled);
    onSubscribed();
    const cut = this.#cut.signal;
    const ended = AbortSignal.any([signal, cut]);
    await new Promise<void>((resolve) => ended.addEventListener('abort', () => resolve(), { once: true }));
    this.#watchers.delete(onSettled);
    if (cut.aborted) throw new GatewayError('lightning_unavailable');
  }

  /** How many subscriptions there are now. */
  get subscribers(): number {
    return this.#watchers.size;
  }

  /** Ends every subscription, as a lost connection does. */
  cutSubscriptions(): void {
    this.#cut.abort();
    this.#cut = new AbortController();
  }

  /** Settles an invoice of the node's, as a payer does; `silently` tells no subscriber. Gives the node's state of it. */
  settle(paymentHash: Buffer, { receivedMsat, silently = false }: { receivedMsat?: bigint; silently?: boolean } = {}): InvoiceState {
    const invoice = this.node.get(paymentHash.toString('hex'));
    if (!invoice) throw new Error('the node has no such invoice');
    Object.assign(invoice, { status: 'settled', receivedMsat: msat(receivedMsat ?? invoice.amountMsat), settledAt: new Date() });
    if (!silently) for (const watcher of this.#watchers) void watcher(invoice);
    return invoice;
  }

  cancel(paymentHash: Buffer): void {
    Object.assign(this.node.get(paymentHash.toString('hex')) ?? {}, { status: 'canceled' });
  }

  async status(): Promise<{ ready: boolean; reason?: string }> {
    return this.away ? { ready: false, reason: 'away' } : { ready: true };
  }

  async close(): Promise<void> {}

  #answer(): void {
    if (this.away) throw new GatewayError('lightning_unavailable');
  }
}

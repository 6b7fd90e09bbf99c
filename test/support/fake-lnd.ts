import { createECDH, createHash, randomBytes } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import grpc from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import bolt11 from 'bolt11';
import { FakeRouter } from './fake-lnd-router.ts';
import { TEST_TLS } from './tls.ts';

const PROTO = fileURLToPath(new URL('../../node_modules/lightning/grpc/protos/lightning.proto', import.meta.url));
const REGTEST = { bech32: 'bcrt', pubKeyHash: 0x6f, scriptHash: 0xc4, validWitnessVersions: [0, 1] };
const FEATURES = {
  word_length: 4,
  var_onion_optin: { required: true },
  payment_secret: { required: true },
  basic_mpp: { supported: true },
};

/** LND's message of an invoice, as far as anybody here reads it. */
interface RpcInvoice {
  r_preimage: Buffer;
  r_hash: Buffer;
  memo: string;
  description_hash?: Buffer;
  value_msat: string;
  value: string;
  payment_request: string;
  creation_date: string;
  expiry: string;
  private: boolean;
  add_index: string;
  settle_index: string;
  settle_date: string;
  amt_paid_msat: string;
  amt_paid_sat: string;
  state: 'OPEN' | 'SETTLED' | 'CANCELED' | 'ACCEPTED';
}

/** LND's message of a payment, likewise. */
export interface RpcPayment {
  payment_hash: string;
  payment_index: string;
  status: 'IN_FLIGHT' | 'SUCCEEDED' | 'FAILED';
  value_msat: string;
  fee_msat: string;
  payment_request: string;
  creation_time_ns: string;
}

interface Subscription {
  call: grpc.ServerWritableStream<{ add_index: string; settle_index: string }, Partial<RpcInvoice>>;
  settledAfter: number;
}

/** What LND says for the state of its wallet, in its own words (rpcperms/interceptor.go). */
export const LOCKED = 'wallet locked, unlock it to enable full RPC access';
export const STARTING = 'the RPC server is in the process of starting up, but not yet ready to accept calls';

/**
 * An LND that does what a test says, over LND's own protocol: real TLS and gRPC on loopback, the messages of LND's proto files, and its rules
 * for subscriptions: indices of settlements grow, 0 replays nothing, and one above the node's own hides what settles.
 */
export class FakeLnd {
  readonly invoices = new Map<string, RpcInvoice>();
  /** What it paid, by whomever it was asked. */
  readonly payments: RpcPayment[] = [];
  /** Entries in an answer that lists, whatever the caller would take. */
  page = 500;
  readonly macaroons: string[] = [];
  /** What each subscription asked to be told from, oldest first. */
  readonly subscribedAfter: number[] = [];
  calls: Record<string, number> = {};
  /** Answers every call with this, as a node that is locked or starting does. */
  refusal: { code: grpc.status; details: string } | undefined;
  /** Takes calls and answers none. */
  frozen = false;
  /** Accepts invoices, and its answers are lost. */
  losesAnswers = false;
  /** Its payments to others. */
  readonly router = new FakeRouter(() => this.frozen);
  /** Its word on its channels, as LND's protocol has it. */
  channels: Record<string, unknown> = {};
  synced = true;
  network = 'regtest';
  #key = randomBytes(32);
  readonly #subscriptions = new Set<Subscription>();
  #server: grpc.Server | undefined;
  #port = 0;
  #settleIndex = 0;

  /** Listens, on the same port each time. */
  async start(): Promise<this> {
    const lnrpc = grpc.loadPackageDefinition(loadSync(PROTO, { keepCase: true, longs: String, enums: String, defaults: true }))['lnrpc'];
    const { service } = (lnrpc as unknown as { Lightning: { service: grpc.ServiceDefinition } }).Lightning;
    const server = new grpc.Server();
    server.addService(service, {
      getInfo: this.#unary('getInfo', () => this.#info()),
      channelBalance: this.#unary('channelBalance', () => this.channels),
      addInvoice: this.#unary('addInvoice', (request) => this.#add(request as unknown as RpcInvoice)),
      lookupInvoice: this.#unary('lookupInvoice', ({ r_hash }) => this.#lookUp(r_hash as Buffer)),
      listInvoices: this.#unary('listInvoices', ({ index_offset }) => this.#listInvoices(Number(index_offset))),
      listPayments: this.#unary('listPayments', (request) => this.#listPayments(request)),
      subscribeInvoices: (call: Subscription['call']) => this.#subscribe(call),
    });
    this.router.addTo(server);
    const credentials = grpc.ServerCredentials.createSsl(null, [{ private_key: TEST_TLS.key, cert_chain: TEST_TLS.cert }]);
    this.#port = await new Promise<number>((resolve, reject) => {
      server.bindAsync(`127.0.0.1:${this.#port}`, credentials, (error, port) => (error ? reject(error) : resolve(port)));
    });
    this.#server = server;
    return this;
  }

  get socket(): string {
    return `127.0.0.1:${this.#port}`;
  }

  get cert(): Buffer {
    return TEST_TLS.cert;
  }

  get publicKey(): string {
    const curve = createECDH('secp256k1');
    curve.setPrivateKey(this.#key);
    return curve.getPublicKey('hex', 'compressed');
  }

  /** How many subscriptions there are now. */
  get subscribers(): number {
    return this.#subscriptions.size;
  }

  /** Gone at once, with every connection, as when it is killed. Its invoices stay. */
  stop(): void {
    this.#subscriptions.clear();
    this.#server?.forceShutdown();
  }

  /** Another node takes its place, at the same address and with nothing of it. */
  swap(): void {
    this.#key = randomBytes(32);
    this.invoices.clear();
    this.payments.length = 0;
    this.#settleIndex = 0;
    this.cutSubscriptions();
  }

  /** Settles an invoice as a payment does; `silently` tells no subscription. */
  settle(paymentHash: Buffer, { receivedMsat, silently = false }: { receivedMsat?: bigint; silently?: boolean } = {}): void {
    const invoice = this.#invoice(paymentHash);
    const received = receivedMsat ?? BigInt(invoice.value_msat);
    Object.assign(invoice, {
      state: 'SETTLED',
      // Indices have gaps.
      settle_index: String((this.#settleIndex += 2)),
      settle_date: String(Math.floor(Date.now() / 1000)),
      amt_paid_msat: String(received),
      amt_paid_sat: String(received / 1000n),
    });
    if (!silently) this.tell(paymentHash);
  }

  /** An invoice that somebody makes on the node without the gateway; gives its payment hash. */
  addInvoice(memo: string, amountMsat: bigint): Buffer {
    const { r_hash } = this.#add({ r_preimage: randomBytes(32), memo, value_msat: String(amountMsat), expiry: '3600' } as RpcInvoice);
    return r_hash;
  }

  /** A payment that it makes, to the invoice of somebody else. Changes what it has of that payment, where it has any. */
  pay({ bolt11: text = '', ...payment }: Partial<RpcPayment> & { bolt11?: string }): void {
    const hash = payment.payment_hash ?? bolt11.decode(text).tagsObject.payment_hash ?? '';
    const known = this.payments.find(({ payment_hash }) => payment_hash === hash);
    const millisatoshis = text === '' ? '1000' : (bolt11.decode(text).millisatoshis ?? '0');
    const made: RpcPayment = known ?? {
      ...{ payment_hash: hash, payment_index: String(this.payments.length * 2 + 1), status: 'SUCCEEDED', value_msat: millisatoshis },
      ...{ fee_msat: '0', payment_request: text, creation_time_ns: String(BigInt(Date.now()) * 1_000_000n) },
    };
    Object.assign(made, payment);
    if (!known) this.payments.push(made);
  }

  cancel(paymentHash: Buffer): void {
    this.#invoice(paymentHash).state = 'CANCELED';
  }

  /** Sends an invoice as it is to the subscriptions, once more where it was sent before. */
  tell(paymentHash: Buffer): void {
    const invoice = this.#invoice(paymentHash);
    const index = Number(invoice.settle_index);
    for (const { call, settledAfter } of this.#subscriptions) if (index === 0 || index > settledAfter) call.write(invoice);
  }

  /** Ends the subscriptions: in order, or with an error. */
  cutSubscriptions(error?: { code: grpc.status; details: string }): void {
    for (const { call } of this.#subscriptions) {
      if (error) call.emit('error', error);
      else call.end();
    }
    this.#subscriptions.clear();
  }

  #invoice(paymentHash: Buffer): RpcInvoice {
    const invoice = this.invoices.get(paymentHash.toString('hex'));
    if (!invoice) throw new Error('the node has no such invoice');
    return invoice;
  }

  #unary(name: string, answer: (request: Record<string, unknown>) => object): grpc.handleUnaryCall<Record<string, unknown>, object> {
    return (call, callback) => {
      this.calls[name] = (this.calls[name] ?? 0) + 1;
      this.macaroons.push(String(call.metadata.get('macaroon')[0]));
      if (this.frozen) return;
      if (this.refusal) {
        callback(this.refusal);
        return;
      }
      try {
        const answered = answer(call.request);
        if (!(this.losesAnswers && name === 'addInvoice')) callback(null, answered);
      } catch (error) {
        callback(error as grpc.ServiceError);
      }
    };
  }

  #info(): object {
    return {
      identity_pubkey: this.publicKey,
      alias: 'fake',
      color: '#000000',
      version: '0.21.2-beta',
      block_hash: '00'.repeat(32),
      block_height: 1,
      best_header_timestamp: '1700000000',
      synced_to_chain: this.synced,
      synced_to_graph: true,
      chains: [{ chain: 'bitcoin', network: this.network }],
      uris: [],
      features: {},
    };
  }

  /** The index offset is exclusive; answers are short, however many the caller would take. */
  #listInvoices(after: number): object {
    const later = [...this.invoices.values()].filter(({ add_index }) => Number(add_index) > after).slice(0, this.page);
    return { invoices: later, first_index_offset: later[0]?.add_index ?? '0', last_index_offset: later.at(-1)?.add_index ?? '0' };
  }

  #listPayments({ index_offset, include_incomplete }: Record<string, unknown>): object {
    const told = this.payments.filter(({ status }) => include_incomplete === true || status === 'SUCCEEDED');
    const later = told.filter(({ payment_index }) => Number(payment_index) > Number(index_offset)).slice(0, this.page);
    return { payments: later, first_index_offset: later[0]?.payment_index ?? '0', last_index_offset: later.at(-1)?.payment_index ?? '0' };
  }

  #add({ r_preimage, memo, description_hash: hash, value_msat, expiry, private: hints }: RpcInvoice): {
    r_hash: Buffer;
    payment_request: string;
  } {
    const r_hash = createHash('sha256').update(r_preimage).digest();
    const known = this.invoices.has(r_hash.toString('hex'));
    if (known) throw Object.assign(new Error(), { code: grpc.status.UNKNOWN, details: 'invoice with payment hash already exists' });
    const timestamp = Math.floor(Date.now() / 1000);
    const unsigned = bolt11.encode({
      network: REGTEST,
      timestamp,
      millisatoshis: value_msat,
      tags: [
        { tagName: 'payment_hash', data: r_hash.toString('hex') },
        { tagName: 'payment_secret', data: randomBytes(32).toString('hex') },
        hash && hash.length > 0 ? { tagName: 'purpose_commit_hash', data: hash.toString('hex') } : { tagName: 'description', data: memo },
        { tagName: 'expire_time', data: Number(expiry) },
        { tagName: 'min_final_cltv_expiry', data: 80 },
        { tagName: 'feature_bits', data: FEATURES },
      ],
    });
    const payment_request = bolt11.sign(unsigned, this.#key).paymentRequest ?? '';
    const invoice: RpcInvoice = {
      ...{ r_preimage, r_hash, memo, value_msat, value: String(BigInt(value_msat) / 1000n), payment_request, private: hints },
      ...{ creation_date: String(timestamp), expiry, add_index: String(this.invoices.size + 1), settle_index: '0' },
      ...{ settle_date: '0', amt_paid_msat: '0', amt_paid_sat: '0', state: 'OPEN' },
    };
    this.invoices.set(r_hash.toString('hex'), invoice);
    // Every subscription is told of what is added: the event that makes `lightning` forget its place.
    for (const { call } of this.#subscriptions) call.write(invoice);
    return Object.assign({ r_hash, payment_request }, { add_index: invoice.add_index, payment_addr: randomBytes(32) });
  }

  #lookUp(r_hash: Buffer): object {
    const invoice = this.invoices.get(r_hash.toString('hex'));
    if (!invoice) throw Object.assign(new Error(), { code: grpc.status.NOT_FOUND, details: 'unable to locate invoice' });
    return invoice;
  }

  #subscribe(call: Subscription['call']): void {
    const settledAfter = Number(call.request.settle_index);
    this.subscribedAfter.push(settledAfter);
    if (this.refusal) {
      call.emit('error', this.refusal);
      return;
    }
    const subscription = { call, settledAfter };
    this.#subscriptions.add(subscription);
    call.on('cancelled', () => this.#subscriptions.delete(subscription));
    if (settledAfter === 0) return;
    const missed = [...this.invoices.values()].filter(({ settle_index }) => Number(settle_index) > settledAfter);
    for (const invoice of missed.sort((a, b) => Number(a.settle_index) - Number(b.settle_index))) call.write(invoice);
  }
}

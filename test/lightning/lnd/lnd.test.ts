import { createHash, randomBytes } from 'node:crypto';
import { status as GRPC } from '@grpc/grpc-js';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import bolt11 from 'bolt11';
import { msat } from '../../../src/amount.ts';
import { createLndWallet, type LndWalletOptions } from '../../../src/lightning/lnd/lnd.ts';
import type { InvoiceState, SettlementListener, Wallet } from '../../../src/lightning/wallet.ts';
import { createLog } from '../../../src/log.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';
import { FakeLnd, LOCKED, STARTING } from '../../support/fake-lnd.ts';
import { until } from '../../support/until.ts';

const log = createLog('silent');
let database: TestDatabase;
let lnd: FakeLnd;
let macaroon: Buffer;
const closing: (() => Promise<void> | void)[] = [];

beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(async () => {
  await database.drop();
});
beforeEach(async () => {
  lnd = await new FakeLnd().start();
  macaroon = randomBytes(64);
  closing.push(() => lnd.stop());
});
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

const settings = (): LndWalletOptions => ({
  ...{ socket: lnd.socket, macaroon, cert: lnd.cert, pool: database.pool, log, observe: () => {} },
  ...{ deadlineMs: 1_000, probeMs: 50 },
});

async function connect(options: Partial<LndWalletOptions> = {}): Promise<Wallet> {
  const wallet = await createLndWallet({ ...settings(), ...options });
  closing.push(() => wallet.close());
  return wallet;
}

const request = (preimage = randomBytes(32)) => ({ amountMsat: msat(50_000n), description: 'top-up', expirySeconds: 600, preimage });
const indexOf = async (nodeId: string): Promise<number> => {
  const { rows } = await database.pool.query<{ settle_index: bigint }>(`select settle_index from lightning_nodes where node_id = $1`, [
    nodeId,
  ]);
  return Number(rows[0]?.settle_index);
};

/** Watches until `stop` or the subscription's loss, which is the outcome of `ended`; in effect when this resolves. */
async function watch(
  wallet: Wallet,
  onSettled: SettlementListener = () => {},
): Promise<{ seen: string[]; stop(): void; ended: Promise<unknown> }> {
  const seen: string[] = [];
  const stopped = new AbortController();
  closing.push(() => stopped.abort());
  let ended: Promise<unknown> = Promise.resolve();
  await new Promise<void>((resolve, reject) => {
    const listener = (state: InvoiceState) => {
      seen.push(state.paymentHash.toString('hex'));
      return onSettled(state);
    };
    ended = wallet.watchSettlements(listener, stopped.signal, resolve).catch((error: unknown) => {
      reject(error);
      return error;
    });
  });
  return { seen, stop: () => stopped.abort(), ended };
}

describe('what LND has', () => {
  it.each([
    ['one without channels that tells nothing of what it could be paid', {}, { spendableMsat: 0n, receivableMsat: null, pendingMsat: 0n }],
    [
      'channels, payments on their way, and a channel that is being opened',
      {
        ...{ balance: '1234', pending_open_balance: '50000', local_balance: { sat: '1234', msat: '1234567' } },
        ...{ remote_balance: { sat: '900', msat: '900001' }, pending_open_local_balance: { sat: '50000', msat: '50000000' } },
        pending_open_remote_balance: { sat: '0', msat: '0' },
        unsettled_local_balance: { sat: '7', msat: '7008' },
        unsettled_remote_balance: { sat: '3', msat: '3000' },
      },
      { spendableMsat: 1_234_567n, receivableMsat: 900_001n, pendingMsat: 50_007_008n },
    ],
  ])('is told to the msat: %s', async (_what, channels, means) => {
    const wallet = await connect();
    lnd.channels = channels;
    expect(await wallet.means?.()).toEqual(means);
  });

  it('is not told while it does not answer', async () => {
    const wallet = await connect();
    lnd.refusal = { code: GRPC.UNKNOWN, details: LOCKED };
    await expect(wallet.means?.()).rejects.toMatchObject({ code: 'lightning_unavailable' });
  });
});

describe('an invoice of LND', () => {
  it("has the preimage, amount, text and expiry that were asked for, and is the node's own", async () => {
    const wallet = await connect();
    const asked = request();
    const made = await wallet.createInvoice(asked);
    expect(made.paymentHash).toEqual(createHash('sha256').update(asked.preimage).digest());
    expect(bolt11.decode(made.bolt11)).toMatchObject({
      millisatoshis: '50000',
      payeeNodeKey: wallet.nodeId,
      tagsObject: { expire_time: 600 },
    });
    expect(made.expiresAt.getTime() - Date.now()).toBeGreaterThan(595_000);
    expect(lnd.macaroons.every((sent) => sent === macaroon.toString('hex'))).toBe(true);
  });

  it('is one for one preimage, also when the answer of its creation was lost', async () => {
    const wallet = await connect();
    const asked = request();
    lnd.losesAnswers = true;
    await expect(wallet.createInvoice(asked)).rejects.toMatchObject({ code: 'lightning_unavailable' });
    lnd.losesAnswers = false;
    const [first, second] = [await wallet.createInvoice(asked), await wallet.createInvoice(asked)];
    expect(first).toEqual(second);
    expect(lnd.invoices.size).toBe(1);
  });

  it('has the hash of what a wallet was shown in place of a description, which the node keeps for itself', async () => {
    const wallet = await connect();
    const asked = { ...request(), metadata: '[["text/plain","for alice@pura.example"]]' };
    const [first, again] = [await wallet.createInvoice(asked), await wallet.createInvoice(asked)];
    expect(again).toEqual(first);
    const { purpose_commit_hash: hash, description } = bolt11.decode(first.bolt11).tagsObject;
    expect({ hash, description }).toEqual({ hash: createHash('sha256').update(asked.metadata).digest('hex'), description: undefined });
    lnd.settle(first.paymentHash);
    expect(await wallet.lookupInvoice(first.paymentHash)).toMatchObject({ status: 'settled', description: asked.description });
    // One that was made before without it is not shown to a wallet that checks.
    const plain = request();
    await wallet.createInvoice(plain);
    await expect(wallet.createInvoice({ ...plain, metadata: asked.metadata })).rejects.toMatchObject({ code: 'lightning_unavailable' });
  });

  it('tells of private channels only where the operator wants it to', async () => {
    const [plain, hinted] = [await connect(), await connect({ privateHints: true })];
    const hints = async (wallet: Wallet) => lnd.invoices.get((await wallet.createInvoice(request())).paymentHash.toString('hex'))?.private;
    expect([await hints(plain), await hints(hinted)]).toEqual([false, true]);
  });

  it('is open, settled with what was received, canceled, or unknown, as the node says', async () => {
    const wallet = await connect();
    const { paymentHash } = await wallet.createInvoice(request());
    expect(await wallet.lookupInvoice(paymentHash)).toEqual({ paymentHash, status: 'open' });
    lnd.settle(paymentHash, { receivedMsat: 60_001n });
    expect(await wallet.lookupInvoice(paymentHash)).toMatchObject({
      status: 'settled',
      receivedMsat: 60_001n,
      settledAt: expect.any(Date),
    });
    lnd.cancel(paymentHash);
    expect(await wallet.lookupInvoice(paymentHash)).toEqual({ paymentHash, status: 'canceled' });
    expect(await wallet.lookupInvoice(randomBytes(32))).toBeNull();
  });

  it('is refused in time by a node that does not answer, and by another node in its place', async () => {
    const wallet = await connect();
    lnd.frozen = true;
    await expect(wallet.createInvoice(request())).rejects.toMatchObject({
      code: 'lightning_unavailable',
      cause: { message: /within 1000 ms/ },
    });
    await expect(wallet.lookupInvoice(randomBytes(32))).rejects.toMatchObject({ code: 'lightning_unavailable' });
    lnd.frozen = false;
    lnd.swap();
    await expect(wallet.createInvoice(request())).rejects.toMatchObject({
      code: 'lightning_unavailable',
      cause: { message: /another node/ },
    });
  });
});

describe('the state of LND', () => {
  it.each<[string, (node: FakeLnd) => void]>([
    ['the wallet of LND is locked', (node) => (node.refusal = { code: GRPC.UNKNOWN, details: LOCKED })],
    ['LND is starting', (node) => (node.refusal = { code: GRPC.UNKNOWN, details: STARTING })],
    ['LND refuses the macaroon', (node) => (node.refusal = { code: GRPC.UNKNOWN, details: 'verification failed: signature mismatch' })],
    ['LND does not answer', (node) => (node.frozen = true)],
    ['LND cannot be reached', (node) => node.stop()],
    ['LND is still syncing to the chain', (node) => (node.synced = false)],
    ['another node answers in place of LND: start the gateway again to use it', (node) => node.swap()],
  ])('is told: %s', async (reason, happens) => {
    const wallet = await connect();
    expect(await wallet.status()).toEqual({ ready: true });
    happens(lnd);
    await until(async () => (await wallet.status()).reason === reason);
  });

  it('is ready again when it is back, without a new wallet', async () => {
    const wallet = await connect();
    lnd.stop();
    expect(await wallet.status()).toMatchObject({ ready: false });
    await lnd.start();
    await until(async () => (await wallet.status()).ready);
    await wallet.createInvoice(request());
  });
});

describe('the start', () => {
  it('goes on without a node that these credentials knew before, and takes it up when it is there', async () => {
    const { nodeId } = await connect();
    lnd.stop();
    const wallet = await connect();
    expect(wallet).toMatchObject({ nodeId, network: 'regtest' });
    await expect(wallet.createInvoice(request())).rejects.toMatchObject({ code: 'lightning_unavailable' });
    await lnd.start();
    await until(async () => (await wallet.status()).ready);
  });

  it('fails where the node was never met, and waits for one that is starting', async () => {
    lnd.refusal = { code: GRPC.UNKNOWN, details: STARTING };
    await expect(connect({ startMs: 0 })).rejects.toMatchObject({ code: 'lightning_unavailable' });
    const waiting = connect();
    await until(() => (lnd.calls['getInfo'] ?? 0) > 1);
    lnd.refusal = undefined;
    expect(await waiting).toMatchObject({ nodeId: lnd.publicKey });
  });

  it.each(['mainnet', 'testnet', 'testnet4', 'signet', 'regtest'])('learns the network: %s', async (network) => {
    lnd.network = network;
    expect((await connect()).network).toBe(network === 'testnet4' ? 'testnet' : network);
  });
});

describe('settlements of LND', () => {
  it('arrive as they happen and move the index of their node', async () => {
    const wallet = await connect();
    const { seen } = await watch(wallet, async () => true);
    const { paymentHash } = await wallet.createInvoice(request());
    lnd.settle(paymentHash);
    await until(() => seen.includes(paymentHash.toString('hex')));
    await until(async () => (await indexOf(wallet.nodeId)) === 2);
  });

  it('are not missed in a gap of the subscription, though an invoice was added before it', async () => {
    const wallet = await connect();
    const first = await watch(wallet, async () => true);
    const [a, b] = [await wallet.createInvoice(request()), await wallet.createInvoice(request())];
    lnd.settle(a.paymentHash);
    await until(async () => (await indexOf(wallet.nodeId)) === 2);
    // The event after which the library would ask for everything from now on.
    await wallet.createInvoice(request());
    lnd.cutSubscriptions();
    expect(await first.ended).toMatchObject({ code: 'lightning_unavailable' });
    lnd.settle(b.paymentHash);
    const second = await watch(wallet, async () => true);
    await until(() => second.seen.length > 0);
    expect(second.seen).toEqual([b.paymentHash.toString('hex')]);
    expect(lnd.subscribedAfter).toEqual([0, 2]);
  });

  it('move the index only over those before which each was dealt with', async () => {
    const wallet = await connect();
    const finish = new Map<string, (handled: boolean) => void>();
    const { seen } = await watch(wallet, ({ paymentHash }) => new Promise((resolve) => finish.set(paymentHash.toString('hex'), resolve)));
    const made = await Promise.all([1, 2, 3].map(() => wallet.createInvoice(request())));
    for (const { paymentHash } of made) lnd.settle(paymentHash);
    await until(() => seen.length === 3);
    const [first, second, third] = made.map(({ paymentHash }) => finish.get(paymentHash.toString('hex')));
    // The last one before any other: had it moved the index, the first could not move it back.
    third?.(true);
    first?.(true);
    await until(async () => (await indexOf(wallet.nodeId)) > 0);
    expect(await indexOf(wallet.nodeId)).toBe(2);
    second?.(true);
    await until(async () => (await indexOf(wallet.nodeId)) === 6);
  });

  it('end the subscription where one was not dealt with, and come again with the next', async () => {
    const wallet = await connect();
    const warm = await watch(wallet, async () => true);
    const made = await Promise.all([1, 2, 3].map(() => wallet.createInvoice(request())));
    const [a, b, c] = made.map(({ paymentHash }) => paymentHash);
    lnd.settle(a as Buffer);
    await until(async () => (await indexOf(wallet.nodeId)) === 2);
    warm.stop();
    await warm.ended;
    const failing = await watch(wallet, async ({ paymentHash }) => !paymentHash.equals(b as Buffer));
    lnd.settle(b as Buffer);
    lnd.settle(c as Buffer);
    await failing.ended;
    expect(await indexOf(wallet.nodeId)).toBe(2);
    const { seen } = await watch(wallet, async () => true);
    await until(() => seen.length === 2);
    await until(async () => (await indexOf(wallet.nodeId)) === 6);
  });

  it('are followed node by node: what one reached hides nothing of another', async () => {
    const wallet = await connect();
    const { ended } = await watch(wallet, async () => true);
    for (let each = 0; each < 3; each++) lnd.settle((await wallet.createInvoice(request())).paymentHash);
    await until(async () => (await indexOf(wallet.nodeId)) === 6);
    lnd.swap();
    await ended;
    await expect(watch(wallet)).rejects.toMatchObject({ cause: { message: /another node/ } });
    const other = await connect();
    expect(other.nodeId).not.toBe(wallet.nodeId);
    const { seen } = await watch(other, async () => true);
    lnd.settle((await other.createInvoice(request())).paymentHash);
    await until(async () => (await indexOf(other.nodeId)) === 2);
    expect(seen).toHaveLength(1);
    expect(await indexOf(wallet.nodeId)).toBe(6);
  });

  it.each<[string, (node: FakeLnd) => void]>([
    ['ends', (node) => node.cutSubscriptions()],
    ['breaks', (node) => node.cutSubscriptions({ code: GRPC.UNAVAILABLE, details: 'gone' })],
    ['goes silent', (node) => (node.frozen = true)],
    ['is gone', (node) => node.stop()],
  ])('are given up when the node %s, and nothing of the subscription stays', async (_how, happens) => {
    const wallet = await connect();
    const { ended } = await watch(wallet);
    expect(lnd.subscribers).toBe(1);
    happens(lnd);
    expect(await ended).toMatchObject({ code: 'lightning_unavailable' });
    await until(() => lnd.subscribers === 0);
  });

  it('are watched until told to stop', async () => {
    const wallet = await connect();
    const { stop, ended } = await watch(wallet);
    stop();
    expect(await ended).toBeUndefined();
    await until(() => lnd.subscribers === 0);
  });
});

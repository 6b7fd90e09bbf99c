import { setTimeout as delay } from 'node:timers/promises';
import {
  addPeer,
  createChainAddress,
  createInvoice,
  deleteForwardingReputations,
  getChannels,
  getInvoice,
  openChannel,
  payViaPaymentDetails,
  payViaPaymentRequest,
} from 'lightning';
import bolt11 from 'bolt11';
import { until } from '../support/until.ts';
import { startBtcd, type Btcd } from './btcd.ts';
import { buildNodes } from './build.ts';
import { LndNode } from './lnd-node.ts';
import { Processes } from './processes.ts';

/** Where coins go until the payer's wallet can name an address of its own. */
const NOBODY = '2N1NQzFjCy1NnpAH3cT4h4GoByrAAkiH7zu';
const CHANNEL_SATS = 10_000_000;
const FEE_LIMIT_SATS = 100;
const RETRY_MS = 100;
const IN_THE_END_MS = 60_000;

/** Two real Lightning nodes on a chain of their own, with a channel through which the payer can pay the gateway's. */
export interface Regtest {
  readonly gateway: LndNode;
  readonly payer: LndNode;
  readonly btcd: Btcd;
  /** Pays an invoice from the payer's node and gives the preimage, hex. Rejects where the payment failed for good. */
  pay(paymentRequest: string): Promise<string>;
  /** Tries to pay until the gateway's node says that the invoice is settled, for while that node is away. */
  payInTheEnd(paymentRequest: string): Promise<void>;
  /** Pays more than an invoice of this hash asks for. */
  overpay(paymentRequest: string, amountMsat: bigint): Promise<string>;
  /** Resolves once the channel can pay again, after one of the nodes was away. */
  reconnected(): Promise<void>;
  /** One more node, synced and without channels. */
  startNode(name: string): Promise<LndNode>;
  close(): Promise<void>;
}

/** Builds the nodes where that is still to be done and brings them up, in about ten seconds. */
export async function startRegtest(): Promise<Regtest> {
  const bin = await buildNodes();
  const processes = new Processes();
  try {
    return await bringUp(processes, bin);
  } catch (error) {
    await processes.close();
    throw error;
  }
}

async function bringUp(processes: Processes, bin: string): Promise<Regtest> {
  const gateway = await LndNode.create({ processes, bin, name: 'gateway' });
  const payer = await LndNode.create({ processes, bin, name: 'payer' });
  // btcd takes the address for its coins at its start, and the payer's is known only once its node runs: so start, ask, stop, start again.
  let btcd = await startBtcd(processes, bin, NOBODY);
  await btcd.mine(1);
  await payer.start(btcd);
  const { address } = await createChainAddress({ lnd: payer.lnd, format: 'p2wpkh' });
  // Each is gone before the next one starts: a node that sees the other chain never recovers.
  await payer.stop();
  await btcd.stop();
  btcd = await startBtcd(processes, bin, address);
  // Segwit is active after 432 blocks, and coins can be spent after 100.
  await btcd.mine(450);
  await Promise.all([gateway.start(btcd), payer.start(btcd)]);

  const regtest: Regtest = {
    gateway,
    payer,
    btcd,
    pay: (request) => pay(payer, request),
    payInTheEnd: (request) => payInTheEnd(payer, gateway, request),
    overpay: (request, amountMsat) => overpay(payer, request, amountMsat),
    reconnected: () => reconnected(payer, gateway),
    async startNode(name) {
      const node = await LndNode.create({ processes, bin, name });
      await node.start(btcd);
      return node;
    },
    close: () => processes.close(),
  };
  await fundChannel(regtest);
  return regtest;
}

async function fundChannel({ gateway, payer, btcd, reconnected: channelActive }: Regtest): Promise<void> {
  await addPeer({ lnd: payer.lnd, public_key: gateway.publicKey, socket: gateway.peerAddress });
  const channel = { local_tokens: CHANNEL_SATS, give_tokens: CHANNEL_SATS / 5, chain_fee_tokens_per_vbyte: 2 };
  await openChannel({ lnd: payer.lnd, partner_public_key: gateway.publicKey, ...channel });
  await btcd.mine(6);
  await channelActive();
}

/** Pays an invoice of nobody's until that works: a channel is listed as active a moment before it can pay. */
async function reconnected(payer: LndNode, gateway: LndNode): Promise<void> {
  await until(async () => {
    const peer = { public_key: gateway.publicKey, socket: gateway.peerAddress, retry_count: 1, timeout: 2_000 };
    await addPeer({ lnd: payer.lnd, ...peer }).catch(() => {});
    const { channels } = await getChannels({ lnd: payer.lnd, is_active: true });
    if (channels.length === 0) return false;
    const { request } = await createInvoice({ lnd: gateway.lnd, tokens: 1 });
    return tryToPay(payer, request);
  }, 60_000);
}

/** Gives the preimage, hex. */
async function pay(payer: LndNode, request: string): Promise<string> {
  const { secret } = await payViaPaymentRequest({ lnd: payer.lnd, request, max_fee: FEE_LIMIT_SATS });
  return secret;
}

/** Whether it went through. A failure is forgotten: the payer's node would hold it against the channel for hours. */
async function tryToPay(payer: LndNode, request: string): Promise<boolean> {
  try {
    await pay(payer, request);
    return true;
  } catch {
    await deleteForwardingReputations({ lnd: payer.lnd }).catch(() => {});
    return false;
  }
}

/** The payer's own word is not enough: an LND that was killed just after it settled may still fail the payment back to the payer. */
async function payInTheEnd(payer: LndNode, gateway: LndNode, request: string): Promise<void> {
  const id = bolt11.decode(request).tagsObject.payment_hash ?? '';
  await until(async () => {
    if (await tryToPay(payer, request)) return true;
    await delay(RETRY_MS);
    return getInvoice({ lnd: gateway.lnd, id }).then(
      ({ is_confirmed }) => is_confirmed,
      () => false,
    );
  }, IN_THE_END_MS);
}

async function overpay(payer: LndNode, request: string, amountMsat: bigint): Promise<string> {
  const { payeeNodeKey = '', tagsObject } = bolt11.decode(request);
  const { secret } = await payViaPaymentDetails({
    lnd: payer.lnd,
    destination: payeeNodeKey,
    id: tagsObject.payment_hash ?? '',
    payment: tagsObject.payment_secret ?? '',
    cltv_delta: tagsObject.min_final_cltv_expiry ?? 80,
    mtokens: amountMsat.toString(),
    max_fee: FEE_LIMIT_SATS,
    // What invoices of LND's announce: the onion's format, the payment's secret, payments in parts (BOLT 9).
    features: [{ bit: 8 }, { bit: 14 }, { bit: 17 }],
  });
  return secret;
}

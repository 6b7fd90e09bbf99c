import { randomBytes } from 'node:crypto';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import grpc from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { readPaymentRequest } from '../../src/lightning/payment-request.ts';

const PROTO = fileURLToPath(new URL('../../node_modules/lightning/grpc/protos/router.proto', import.meta.url));

/** LND's message of a payment, as far as anybody here reads it. */
type RpcPayment = { payment_hash: string; status: 'SUCCEEDED' | 'FAILED' | 'IN_FLIGHT' } & Record<string, unknown>;
type Call<Request> = grpc.ServerWritableStream<Request, RpcPayment>;

/** The router of a `FakeLnd`, which pays as a test says: an invoice once, and none that has expired by the node's clock. */
export class FakeRouter {
  /** What the node has on record, by payment hash in hex. */
  readonly payments = new Map<string, RpcPayment>();
  /** How many calls to pay have got to the node. */
  asked = 0;
  outcome: RpcPayment['status'] = 'SUCCEEDED';
  feeMsat = 7n;
  /** Payments under way have no part on its way at the moment: all failed, and others are looked for. */
  betweenAttempts = false;
  /** What the node takes for the time, in milliseconds since 1970. */
  clockMs = (): number => Date.now();
  readonly #isFrozen: () => boolean;

  /** `isFrozen`: whether the node takes calls and answers none. */
  constructor(isFrozen: () => boolean) {
    this.#isFrozen = isFrozen;
  }

  addTo(server: grpc.Server): void {
    const options = { keepCase: true, longs: String, enums: String, defaults: true, includeDirs: [dirname(PROTO)] };
    const { routerrpc } = grpc.loadPackageDefinition(loadSync(PROTO, options));
    const { service } = (routerrpc as unknown as { Router: { service: grpc.ServiceDefinition } }).Router;
    server.addService(service, {
      sendPaymentV2: (call: Call<{ payment_request: string }>) => this.#pay(call),
      trackPaymentV2: (call: Call<{ payment_hash: Buffer }>) => this.#track(call),
    });
  }

  #pay(call: Call<{ payment_request: string }>): void {
    this.asked++;
    const { paymentHash, amountMsat, expiresAt } = readPaymentRequest(call.request.payment_request, 'regtest');
    const hash = paymentHash.toString('hex');
    const refuse = (code: grpc.status, details: string): void => void call.emit('error', { code, details });
    if (this.clockMs() >= expiresAt.getTime()) refuse(grpc.status.UNKNOWN, `invoice expired. Valid until ${expiresAt.toISOString()}`);
    else if (this.payments.has(hash)) refuse(grpc.status.ALREADY_EXISTS, 'payment is in transition');
    else {
      this.payments.set(hash, rpcPayment({ hash, amountMsat, feeMsat: this.feeMsat, status: this.outcome, parts: !this.betweenAttempts }));
      this.#tell(call, hash);
    }
  }

  #track(call: Call<{ payment_hash: Buffer }>): void {
    const hash = call.request.payment_hash.toString('hex');
    if (this.#isFrozen()) return;
    if (this.payments.has(hash)) this.#tell(call, hash);
    else call.emit('error', { code: grpc.status.NOT_FOUND, details: "payment isn't initiated" });
  }

  /** The stream ends with a payment that has. */
  #tell(call: Call<object>, hash: string): void {
    const payment = this.payments.get(hash);
    if (!payment) return;
    call.write(payment);
    if (payment.status !== 'IN_FLIGHT') call.end();
  }
}

interface Paid {
  hash: string;
  amountMsat: bigint;
  feeMsat: bigint;
  status: RpcPayment['status'];
  parts: boolean;
}

function rpcPayment({ hash, amountMsat, feeMsat, status, parts }: Paid): RpcPayment {
  const nowNs = `${Date.now()}000000`;
  const hop = { chan_id: '1', amt_to_forward_msat: String(amountMsat), fee_msat: '0', pub_key: `02${'ab'.repeat(32)}`, tlv_payload: true };
  const route = { hops: [hop], total_amt_msat: String(amountMsat + feeMsat), total_fees_msat: String(feeMsat), total_time_lock: 1 };
  return {
    ...{ payment_hash: hash, payment_preimage: randomBytes(32).toString('hex'), status, creation_time_ns: nowNs },
    ...{
      value_sat: String(amountMsat / 1000n),
      value_msat: String(amountMsat),
      fee_msat: String(feeMsat),
      fee_sat: String(feeMsat / 1000n),
    },
    failure_reason: status === 'FAILED' ? 'FAILURE_REASON_NO_ROUTE' : 'FAILURE_REASON_NONE',
    htlcs: parts ? [{ status, route, attempt_time_ns: nowNs, resolve_time_ns: nowNs, preimage: randomBytes(32) }] : [],
  };
}

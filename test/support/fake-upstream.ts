import type { DeploymentConfig } from '../../src/config/gateway-file.ts';
import type { WireName } from '../../src/wires/wire.ts';
import { startFakeProvider, type FakeExchange, type FakeProvider, type FakeScript } from './fake-provider.ts';
import { plainAnswer, wireOfPath } from './plain-answers.ts';

/**
 * A loopback provider that speaks every wire. A request names by its `X-Client-Request-Id`, which goes upstream unchanged, what it is to be
 * answered with: so any number of requests can be under way at once.
 *
 *     const upstream = await startFakeUpstream();
 *     const config = { deployments: [upstream.deployment('anthropic-messages')] };      // model: pureai/anthropic-messages
 *     upstream.answer('some-id', replay({ body: bytes, contentType: 'text/event-stream', cutAt: 100 }));
 *
 * A request of another id, or of none, gets a small good answer in the wire of its path, JSON or stream as asked: the text `Hello.`, 10
 * tokens of prompt and 5 of output.
 */
export interface FakeUpstream extends Pick<FakeProvider, 'baseUrl' | 'requests' | 'received' | 'hold' | 'forget' | 'close'> {
  answer(clientRequestId: string, script: FakeScript): void;
  /** What a request without a script of its own gets from now on; null: the small good answer. */
  otherwise(script: FakeScript | null): void;
  /** The small good answer, to a request that a test held back. */
  answerPlainly(exchange: FakeExchange): void;
  /** An entry of `deployments` that speaks a wire here, by default under the wire's name. */
  deployment(wire: WireName, overrides?: Partial<DeploymentConfig>): DeploymentConfig;
  /** What came with this id. */
  requestsOf(clientRequestId: string): FakeExchange[];
}

export interface Replay {
  body: Buffer;
  contentType: string | undefined;
  status?: number;
  headers?: Record<string, string>;
  /** Breaks the connection off after so many bytes. */
  cutAt?: number;
  /** Sends pieces of this size, each a packet of its own. */
  pieceBytes?: number;
}

/** Answers with recorded bytes as they are. */
export function replay({ body, contentType, status = 200, headers = {}, cutAt, pieceBytes }: Replay): FakeScript {
  const all = { ...headers, ...(contentType !== undefined && { 'content-type': contentType }) };
  return async (exchange) => {
    if (cutAt === undefined && pieceBytes === undefined) return exchange.raw(body, { status, headers: all });
    exchange.startAnswer(status, all);
    const bytes = body.subarray(0, cutAt);
    const size = pieceBytes ?? (bytes.length || 1);
    for (let at = 0; at < bytes.length; at += size) await exchange.send(bytes.subarray(at, at + size));
    if (cutAt === undefined) exchange.end();
    else exchange.reset();
  };
}

export async function startFakeUpstream(): Promise<FakeUpstream> {
  const provider = await startFakeProvider();
  const scripts = new Map<string, FakeScript>();
  const idOf = ({ headers }: FakeExchange) => String(headers['x-client-request-id'] ?? '');
  let fallback: FakeScript = answerPlainly;
  provider.always((exchange) => (scripts.get(idOf(exchange)) ?? fallback)(exchange));
  return {
    baseUrl: provider.baseUrl,
    requests: provider.requests,
    received: (count) => provider.received(count),
    hold: () => provider.hold(),
    forget: () => provider.forget(),
    close: () => provider.close(),
    answer: (id, script) => void scripts.set(id, script),
    otherwise: (script) => void (fallback = script ?? answerPlainly),
    answerPlainly,
    deployment: (wire, overrides = {}) => provider.deployment({ id: wire, wire, ...overrides }),
    requestsOf: (id) => provider.requests.filter((exchange) => idOf(exchange) === id),
  };
}

function answerPlainly(exchange: FakeExchange): void {
  const stream = exchange.body['stream'] === true || exchange.path.includes(':streamGenerateContent');
  const { contentType, body } = plainAnswer(wireOfPath(exchange.path), stream, exchange.body);
  exchange.raw(body, { headers: { 'content-type': contentType } });
}

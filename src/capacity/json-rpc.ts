import { setTimeout as delay } from 'node:timers/promises';
import { gunzipSync } from 'node:zlib';
import { request } from 'undici';

/** One call of a method. */
export interface RpcCall {
  readonly method: string;
  readonly params: readonly unknown[];
}

/**
 * What a node said, or did not. The message is this gateway's own: a node's words, its address and the library's errors may hold the key
 * that is part of the address.
 */
export class NodeError extends Error {
  override name = 'NodeError';
}

/** Where to ask, and for how long. */
export interface RpcNode {
  readonly url: string;
  /** Ends everything. */
  readonly signal: AbortSignal;
  /** How long one batch may take. */
  readonly timeoutMs: number;
  /** Between two batches, where the node's rate limit left calls unanswered. */
  readonly pauseMs: number;
}

const MAX_ANSWER_BYTES = 1024 * 1024;
/** More in a batch is refused by the public nodes of Base and Optimism, whatever it asks for. */
const MOST_CALLS_A_BATCH = 10;
/** `over rate limit` of proxyd, which these nodes stand behind, and `limit exceeded` of EIP-1474. */
const OVER_RATE_LIMIT: ReadonlySet<unknown> = new Set([-32_016, -32_005]);
const OUT_OF_TIME = 'it did not answer in time';
const LIMITED = Symbol('over the rate limit');

/**
 * Calls several methods by JSON-RPC 2.0 batches (https://www.jsonrpc.org/specification#batch) and returns their results in the order of
 * the calls; the node may answer in any. Public nodes count every call of a batch and answer only the first few: the others are asked for
 * again after a pause, as long as each time some are answered. Rejects with `NodeError` where the node is away, redirects, sends more than
 * 1 MiB, or leaves any call without a result: half of the results are none.
 */
export async function callAll(node: RpcNode, calls: readonly RpcCall[]): Promise<unknown[]> {
  const results = new Map<RpcCall, unknown>();
  for (;;) {
    const open = calls.filter((call) => !results.has(call));
    if (open.length === 0) return calls.map((call) => results.get(call));
    const batch = open.slice(0, MOST_CALLS_A_BATCH);
    const answers = await callBatch(node, batch);
    const answered = batch.filter((_call, index) => answers[index] !== LIMITED);
    if (answered.length === 0) throw new NodeError('it is over its rate limit');
    for (const [index, call] of batch.entries()) if (answers[index] !== LIMITED) results.set(call, answers[index]);
    if (answered.length < batch.length) await pause(node);
  }
}

async function pause({ pauseMs, signal }: RpcNode): Promise<void> {
  await delay(pauseMs, undefined, { signal, ref: false }).catch(() => {
    throw new NodeError(OUT_OF_TIME);
  });
}

/** The results of one batch, in the order of the calls; `LIMITED` for one that the node had no room for. */
async function callBatch({ url, signal, timeoutMs }: RpcNode, calls: readonly RpcCall[]): Promise<unknown[]> {
  const batch = calls.map(({ method, params }, id) => ({ jsonrpc: '2.0', id, method, params }));
  const answer = parse(await post(url, JSON.stringify(batch), AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)])));
  if (!Array.isArray(answer)) throw new NodeError(`the answer is no batch${errorCodeOf(answer)}`);
  if (answer.length !== calls.length) throw new NodeError(`the answer has ${answer.length} results for ${calls.length} calls`);
  const results = new Map<unknown, unknown>();
  for (const one of answer as unknown[]) {
    if (!isObject(one) || one.jsonrpc !== '2.0') throw new NodeError('a result is not of JSON-RPC 2.0');
    if (results.has(one.id)) throw new NodeError('two results are for the same call');
    results.set(one.id, resultOf(one));
  }
  return calls.map(({ method }, id) => {
    if (!results.has(id)) throw new NodeError(`${method} has no result`);
    return results.get(id);
  });
}

function resultOf({ error, result }: Record<string, unknown>): unknown {
  if (error === undefined || error === null) return result;
  if (isObject(error) && OVER_RATE_LIMIT.has(error.code)) return LIMITED;
  throw new NodeError(`a call failed${errorCodeOf({ error })}`);
}

/** A JSON-RPC error's number; its text is the node's. */
function errorCodeOf(answer: unknown): string {
  const error = isObject(answer) ? answer.error : undefined;
  return isObject(error) && Number.isInteger(error.code) ? ` (error ${String(error.code)})` : '';
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}

function parse(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString('utf8'));
  } catch {
    throw new NodeError('the answer is no JSON');
  }
}

async function post(url: string, body: string, signal: AbortSignal): Promise<Buffer> {
  try {
    const headers = {
      'content-type': 'application/json',
      accept: 'application/json',
      'accept-encoding': 'identity',
      'user-agent': 'pura-gateway',
    };
    const answer = await request(url, { method: 'POST', headers, body, signal });
    const received = await collect(answer.body);
    if (answer.statusCode !== 200) throw new NodeError(`it answered with the status ${answer.statusCode}`);
    return decode(received, answer.headers['content-encoding']);
  } catch (error) {
    throw error instanceof NodeError ? error : new NodeError(reasonOf(error, signal));
  }
}

async function collect(body: AsyncIterable<Buffer>): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let receivedBytes = 0;
  // Leaving the loop closes the connection.
  for await (const chunk of body) {
    receivedBytes += chunk.length;
    if (receivedBytes > MAX_ANSWER_BYTES) throw new NodeError('the answer is too long');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** None is asked to be compressed, but some proxies do so all the same. */
function decode(body: Buffer, coding: string | string[] | undefined): Buffer {
  if (coding === undefined || coding === 'identity') return body;
  if (coding !== 'gzip') throw new NodeError('the answer has a content coding that was not asked for');
  try {
    return gunzipSync(body, { maxOutputLength: MAX_ANSWER_BYTES });
  } catch {
    throw new NodeError('the answer cannot be decoded, or is too long');
  }
}

function reasonOf(error: unknown, signal: AbortSignal): string {
  if (signal.aborted) return OUT_OF_TIME;
  const { code } = error as { code?: unknown };
  return typeof code === 'string' ? `it cannot be reached (${code})` : 'it cannot be reached';
}

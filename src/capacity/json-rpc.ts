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

const MAX_ANSWER_BYTES = 1024 * 1024;

/**
 * Calls several methods in one JSON-RPC 2.0 batch (https://www.jsonrpc.org/specification#batch) and returns their results in the order of
 * the calls; the node may answer in any. Rejects with `NodeError` where the node is away, redirects, sends more than 1 MiB, or leaves any
 * call without a result: half a batch is none.
 */
export async function callBatch(url: string, calls: readonly RpcCall[], signal: AbortSignal): Promise<unknown[]> {
  const batch = calls.map(({ method, params }, id) => ({ jsonrpc: '2.0', id, method, params }));
  const answer = parse(await post(url, JSON.stringify(batch), signal));
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

function resultOf(answer: Record<string, unknown>): unknown {
  if (answer.error !== undefined && answer.error !== null) throw new NodeError(`a call failed${errorCodeOf(answer)}`);
  return answer.result;
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
  if (signal.aborted) return 'it did not answer in time';
  const { code } = error as { code?: unknown };
  return typeof code === 'string' ? `it cannot be reached (${code})` : 'it cannot be reached';
}

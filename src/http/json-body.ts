import type { Request } from 'express';
import type { z } from 'zod';
import { parseJson } from '../completions/parse-json.ts';
import { GatewayError } from '../errors.ts';

/** What a small JSON endpoint takes at most. */
const SMALL_BODY_BYTES = 64 * 1024;
const JSON_TYPE = /^application\/(?:[\w.+-]+\+)?json *(?:;|$)/i;

/**
 * Reads and validates a small JSON body; no body at all counts as `{}`.
 * Throws `request_too_large`, `unsupported_media_type`, and `invalid_request` with the path of the field at fault.
 */
export async function readJson<T>(req: Request, schema: z.ZodType<T>): Promise<T> {
  return (await readJsonAndBytes(req, schema)).value;
}

/** The same, with the bytes as they came: what an Idempotency-Key is bound to. */
export async function readJsonAndBytes<T>(req: Request, schema: z.ZodType<T>): Promise<{ value: T; bytes: Buffer }> {
  const bytes = await readBody(req, SMALL_BODY_BYTES);
  if (bytes.length > 0) refuseOtherTypes(req);
  const parsed = schema.safeParse(bytes.length > 0 ? parseJson(bytes).value : {});
  if (!parsed.success) throw invalidField(parsed.error);
  return { value: parsed.data, bytes };
}

/**
 * The bytes of a request's body. Throws `request_too_large` as soon as they are known to be more than `limitBytes`,
 * and `invalid_request` where the client broke off.
 */
export function readBody(req: Request, limitBytes: number): Promise<Buffer> {
  if (Number(req.headers['content-length'] ?? 0) > limitBytes) return Promise.reject(new GatewayError('request_too_large'));
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let length = 0;
    const take = (chunk: Buffer): void => {
      length += chunk.length;
      if (length <= limitBytes) {
        chunks.push(chunk);
        return;
      }
      // What is still to come is read and dropped, so that the client gets to read the answer.
      req.off('data', take).resume();
      chunks.length = 0;
      reject(new GatewayError('request_too_large'));
    };
    const brokenOff = (): void => reject(new GatewayError('invalid_request', { message: 'The request body broke off.' }));
    // Its client left before anybody listened: nothing more will be heard of it, although all of it may have come.
    if (req.destroyed) return brokenOff();
    req.on('data', take);
    req.once('end', () => resolve(chunks.length === 1 && chunks[0] ? chunks[0] : Buffer.concat(chunks)));
    req.once('error', brokenOff);
    // `close` follows every request, read to its end or not, and an error costs its stack.
    req.once('close', () => {
      if (!req.readableEnded) brokenOff();
    });
  });
}

/** The error for the first thing that is wrong with a value; `param` is the dotted path of the field. */
export function invalidField(error: z.ZodError): GatewayError {
  const [issue] = error.issues;
  const unknown = issue?.code === 'unrecognized_keys' ? issue.keys[0] : undefined;
  const param = [...(issue?.path ?? []), ...(unknown === undefined ? [] : [unknown])].map(String).join('.');
  if (!param) return new GatewayError('invalid_request', { message: 'The body must be a JSON object.' });
  const shown = param.slice(0, 100);
  const message = unknown === undefined ? `${shown}: ${issue?.message ?? 'not valid'}` : `${shown}: unknown field`;
  return new GatewayError('invalid_request', { message, param: shown });
}

/** Throws `unsupported_media_type` unless the body is plain JSON. */
export function refuseOtherTypes(req: Request): void {
  const encoding = req.headers['content-encoding'] ?? 'identity';
  if (!JSON_TYPE.test(req.headers['content-type'] ?? '') || encoding.toLowerCase() !== 'identity') {
    throw new GatewayError('unsupported_media_type');
  }
}

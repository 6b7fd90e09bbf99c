import type { Request } from 'express';
import type { z } from 'zod';
import type { Principal } from '../../accounts/api-key.ts';
import { parseJson } from '../../wires/parse-json.ts';
import { GatewayError } from '../../errors.ts';
import { bodyIntake, type BodyHolder, type BodyIntake, type ReceivedBody } from './body-intake.ts';
import { clientAddress } from './client-address.ts';
import { clientOf } from './forwarded.ts';

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

/** Whose memory a body counts as, and where: by default that of the key that `requireKey` found, else of the sender's address. */
export interface ReadBodyOptions {
  holder?: BodyHolder;
  intake?: BodyIntake;
}

/**
 * The bytes of a request's body. Throws `request_too_large` as soon as they are known to be more than `limitBytes`,
 * `invalid_request` where the client broke off, and `overloaded` where bodies that are half sent take too much memory.
 */
export function readBody(req: Request, limitBytes: number, { holder, intake = bodyIntake }: ReadBodyOptions = {}): Promise<Buffer> {
  const declaredBytes = Number(req.headers['content-length'] ?? -1);
  if (declaredBytes > limitBytes) return Promise.reject(new GatewayError('request_too_large'));
  return new Promise((resolve, reject) => {
    let whole: Buffer | undefined;
    let body: ReceivedBody | undefined;
    const refuse = (error: GatewayError): void => {
      // What is still to come is read and dropped, so that the client gets to read the answer.
      req.off('data', take).resume();
      end();
      reject(error);
    };
    const end = (): void => {
      if (body) intake.end(body);
    };
    const take = (piece: Buffer): void => {
      // As almost all come: nobody waits for the rest of it.
      if (!body && piece.length === declaredBytes) {
        whole = piece;
        return;
      }
      body ??= intake.begin(holder ?? holderOf(req), refuse);
      if (body.length + piece.length > limitBytes) refuse(new GatewayError('request_too_large'));
      else body.add(piece);
    };
    const brokenOff = (): void => {
      end();
      reject(new GatewayError('invalid_request', { message: 'The request body broke off.' }));
    };
    // Its client left before anybody listened: nothing more will be heard of it, although all of it may have come.
    if (req.destroyed) return brokenOff();
    req.on('data', take);
    req.once('end', () => {
      end();
      resolve(whole ?? body?.bytes() ?? Buffer.alloc(0));
    });
    req.once('error', brokenOff);
    // `close` follows every request, read to its end or not, and an error costs its stack.
    req.once('close', () => {
      if (!req.readableEnded) brokenOff();
    });
  });
}

/** Of a request that has come as far as its handler. */
function holderOf(req: Request): BodyHolder {
  const principal = req.res?.locals['principal'] as Principal | undefined;
  return principal ? { name: principal.key.accountId, isKnown: true } : { name: clientAddress(clientOf(req)), isKnown: false };
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

import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { Request as HttpRequest, Response as HttpResponse } from 'express';

const PASSED = /^(accept|content-type|mcp-.+)$/;

/**
 * A request as the web's `Request`, aborted when its client leaves: with what the protocol reads of its head, so no credential, and without
 * its body, which has been read.
 */
export function webRequest(req: HttpRequest, res: HttpResponse): Request {
  const headers = Object.entries(req.headers).filter(
    (entry): entry is [string, string] => PASSED.test(entry[0]) && typeof entry[1] === 'string',
  );
  const left = new AbortController();
  res.once('close', () => left.abort());
  return new Request('http://localhost/mcp', { method: req.method, headers, signal: left.signal });
}

/** Sends a web's `Response`, piece by piece as it comes. Resolves once it is sent, or its reader has left. */
export async function sendWebResponse(response: Response, res: HttpResponse): Promise<void> {
  res.status(response.status);
  for (const [name, value] of response.headers) res.setHeader(name, value);
  // An answer is its asker's own, and a proxy that packs a stream holds it back.
  res.setHeader('Cache-Control', 'no-store, no-transform');
  if (!response.body) {
    res.end();
    return;
  }
  try {
    await pipeline(Readable.fromWeb(response.body), res);
  } catch (error) {
    if (!res.destroyed) throw error;
  }
}

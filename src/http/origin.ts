import type { Request } from 'express';

/**
 * Scheme and host under which clients reach the gateway, without a slash at the end: the operator's `PUBLIC_URL`, else
 * what the request itself was sent to (by way of the trusted proxies, where there are any).
 */
export function originOf(req: Request, publicUrl: string | undefined): string {
  return publicUrl ?? `${req.protocol}://${req.host || 'localhost'}`;
}

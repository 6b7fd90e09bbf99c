import type { Request } from 'express';
import { targetOf } from './forwarded.ts';

/**
 * Scheme and host under which clients reach the gateway, without a slash at the end: the operator's `PUBLIC_URL`, else
 * what the request itself was sent to (by way of the trusted proxies, where there are any).
 */
export function originOf(req: Request, publicUrl: string | undefined): string {
  if (publicUrl !== undefined) return publicUrl;
  const { protocol, host } = targetOf(req);
  return `${protocol}://${host || 'localhost'}`;
}

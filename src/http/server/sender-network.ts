import type { Request } from 'express';
import { sharesOf } from './client-address.ts';
import { clientOf } from './forwarded.ts';

/** The sender's network as it is kept and shown, never the whole address: the /24 of an IPv4 address, the /48 of an IPv6 one. */
export function networkOf(req: Request): string {
  const shares = sharesOf(clientOf(req));
  return (shares.find(({ name }) => /\/(24|48)$/.test(name)) ?? shares[0])?.name ?? 'unknown';
}

import type { Request } from 'express';
import { GatewayError } from '../../errors.ts';
import { msatFromSats, picoUsdFromMsat, type PicoUsd, type PicoUsdPerMsat } from '../../amount.ts';
import { isPublicProvider, PUBLIC_PROVIDERS } from '../../config/public-providers.ts';
import { parseTopupSats } from '../../invoices/invoice.ts';
import { CallerKey } from '../../providers/caller-key.ts';
import { clientRequestIdOf } from './request-id.ts';

/** What an inference request asks for in headers. */
export interface RequestOptions {
  clientRequestId: string | undefined;
  topupSats: number | undefined;
  maxCostPicoUsd: PicoUsd | null;
  /** The caller's own key at a provider, which is to serve the request then. */
  callerKey: CallerKey | null;
}

/** Shorter words are no keys, and could not be taken out of a provider's answer without harm. */
const PROVIDER_KEY = /^[\x21-\x7e]{8,512}$/;

/** Reads them; `rate` turns sats into USD. Throws `invalid_request` naming the header. */
export function readRequestOptions(req: Request, rate: PicoUsdPerMsat): RequestOptions {
  const maxCostSats = req.headers['x-pura-max-cost-sats'];
  if (maxCostSats !== undefined && !/^\d{1,12}$/.test(String(maxCostSats))) {
    throw new GatewayError('invalid_request', {
      message: 'X-Pura-Max-Cost-Sats must be a whole number of sats.',
      param: 'X-Pura-Max-Cost-Sats',
    });
  }
  return {
    clientRequestId: clientRequestIdOf(req),
    topupSats: parseTopupSats(req.headers['x-pura-topup-sats'] as string | undefined),
    maxCostPicoUsd: maxCostSats === undefined ? null : picoUsdFromMsat(msatFromSats(Number(maxCostSats)), rate),
    callerKey: callerKeyOf(req),
  };
}

function callerKeyOf({ headers }: Request): CallerKey | null {
  const secret = headers['x-provider-key'];
  if (secret === undefined) return null;
  if (typeof secret !== 'string' || !PROVIDER_KEY.test(secret)) {
    throw new GatewayError('invalid_request', {
      message: 'X-Provider-Key must be 8 to 512 printable ASCII characters.',
      param: 'X-Provider-Key',
    });
  }
  const provider = headers['x-provider'] as string | undefined;
  if (provider !== undefined && !isPublicProvider(provider)) {
    throw new GatewayError('invalid_request', {
      message: `X-Provider must be one of ${PUBLIC_PROVIDERS.join(', ')}.`,
      param: 'X-Provider',
    });
  }
  return new CallerKey(secret, provider);
}

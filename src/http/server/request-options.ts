import type { Request } from 'express';
import { GatewayError } from '../../errors.ts';
import { msatFromSats, picoUsdFromMsat, type PicoUsd, type PicoUsdPerMsat } from '../../amount.ts';
import { parseTopupSats } from '../../invoices/invoice.ts';

/** What an inference request asks for in headers. */
export interface RequestOptions {
  clientRequestId: string | undefined;
  topupSats: number | undefined;
  maxCostPicoUsd: PicoUsd | null;
}

/** Reads them; `rate` turns sats into USD. Throws `invalid_request` naming the header. */
export function readRequestOptions(req: Request, rate: PicoUsdPerMsat): RequestOptions {
  if (req.headers['x-provider-key'] !== undefined) {
    throw new GatewayError('invalid_request', { message: 'X-Provider-Key is not supported.', param: 'X-Provider-Key' });
  }
  const clientRequestId = req.headers['x-client-request-id'];
  const maxCostSats = req.headers['x-pura-max-cost-sats'];
  if (maxCostSats !== undefined && !/^\d{1,12}$/.test(String(maxCostSats))) {
    throw new GatewayError('invalid_request', {
      message: 'X-Pura-Max-Cost-Sats must be a whole number of sats.',
      param: 'X-Pura-Max-Cost-Sats',
    });
  }
  return {
    // Passed on only where it can be a header's value; OpenAI takes 512 ASCII characters.
    clientRequestId: typeof clientRequestId === 'string' && /^[\x21-\x7e]{1,512}$/.test(clientRequestId) ? clientRequestId : undefined,
    topupSats: parseTopupSats(req.headers['x-pura-topup-sats'] as string | undefined),
    maxCostPicoUsd: maxCostSats === undefined ? null : picoUsdFromMsat(msatFromSats(Number(maxCostSats)), rate),
  };
}

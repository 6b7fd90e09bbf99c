import type { RequestHandler } from 'express';
import type { Config } from '../../config/config.ts';
import { LARGEST_TOPUP_SAT } from '../../invoices/invoice.ts';
import type { Wallet } from '../../lightning/wallet.ts';
import type { Models } from '../../models/models.ts';
import { pricingOf } from './pricing.ts';
import { originOf } from '../server/origin.ts';

export interface DiscoveryDeps {
  models: Models;
  inferenceRoutes: readonly { readonly path: string; readonly keyless?: boolean }[];
  wallet: Pick<Wallet, 'network'>;
  config: Pick<Config, 'PUBLIC_URL' | 'TOPUP_DEFAULT_SATS' | 'INVOICE_EXPIRY_SECONDS' | 'L402_TOKEN_DAYS' | 'markupBasisPoints'>;
}

const CACHE_SECONDS = 300;

/** The handler of `/.well-known/l402`: all that an agent needs to know to pay for requests without asking anybody for a key. */
export function discovery({ models, inferenceRoutes, wallet, config }: DiscoveryDeps): RequestHandler {
  return async (req, res) => {
    await models.keepUp();
    const origin = originOf(req, config.PUBLIC_URL);
    res.set('Cache-Control', `public, max-age=${CACHE_SECONDS}`).json({
      version: '1',
      service: {
        name: 'Pura',
        description: 'LLM completions, OpenAI- and Anthropic-compatible, metered and paid over Lightning',
        url: origin,
      },
      payment: {
        rail: 'lightning',
        network: wallet.network,
        unit: 'sats',
        model: 'prepaid: a payment is a top-up, each request is charged what it cost, and the credential is good until the rest is spent',
        default_topup: config.TOPUP_DEFAULT_SATS,
        smallest_topup: 1,
        largest_topup: LARGEST_TOPUP_SAT,
        topup_header: 'X-Pura-Topup-Sats',
        invoice_expiry_seconds: config.INVOICE_EXPIRY_SECONDS,
        credential_idle_days: config.L402_TOKEN_DAYS ?? null,
      },
      challenges: [
        { scheme: 'L402', version: '0', challenge: 'WWW-Authenticate: L402', credential: 'Authorization: L402 <token>:<preimage>' },
        {
          scheme: 'Payment',
          method: 'lightning',
          intent: 'charge',
          challenge: 'WWW-Authenticate: Payment',
          credential: 'Authorization: Payment <credential>',
          first_with: 'Accept-Payment: lightning/charge',
        },
        { scheme: 'x402', version: 2, challenge: 'PAYMENT-REQUIRED', credential: 'payment-signature' },
      ],
      routes: inferenceRoutes.map(({ path, keyless }) => ({
        method: 'POST',
        path,
        url: origin + path,
        key: keyless ? 'none' : 'required',
        price: 'metered',
      })),
      key_from_credential: { method: 'POST', path: '/api/keys', url: `${origin}/api/keys` },
      models: [...models.list(), ...models.list('embed')].map((deployment) => ({
        id: deployment.model,
        context_window: deployment.contextWindow,
        pricing_usd_per_million_tokens: pricingOf(deployment, config.markupBasisPoints),
      })),
    });
  };
}

import { z } from 'zod';
import { idempotencyKey } from '../server/described-values.ts';
import { PUBLIC_PROVIDERS } from '../../config/public-providers.ts';
import { LARGEST_TOPUP_SAT } from '../../invoices/invoice.ts';

/** The same headers as components of the document, each told once. */
function components<Headers extends z.ZodObject>(headers: Headers, kind: 'header' | 'param'): Headers {
  const shape = Object.entries(headers.shape);
  return z.object(
    Object.fromEntries(shape.map(([name, schema]) => [name, schema.meta({ ...schema.meta(), [kind]: { id: name } })])),
  ) as never;
}

const said = (description: string, example?: unknown) => z.string().meta({ description, ...(example !== undefined && { example }) });
const decimal = (description: string) => said(description, '0.000123');
const whole = (description: string) => said(description, '1234');

/** What a request may ask for in headers on every inference path. */
export const INFERENCE_REQUEST_HEADERS = components(
  z
    .object({
      'Idempotency-Key': idempotencyKey,
      'X-Client-Request-Id': z
        .string()
        .regex(/^[\x21-\x7e]{1,512}$/)
        .meta({ description: "The client's own id; echoed, recorded, and sent upstream." }),
      'X-Pura-Max-Cost-Sats': z
        .string()
        .regex(/^\d{1,12}$/)
        .meta({ description: 'The most that this request may cost, in sats.', example: '50' }),
      'X-Pura-Topup-Sats': z
        .string()
        .regex(/^[1-9]\d{0,6}$/)
        .meta({ description: `The amount of the invoice if this request gets a 402: 1 to ${LARGEST_TOPUP_SAT} sats.`, example: '1000' }),
      'X-Provider-Key': z
        .string()
        .regex(/^[\x21-\x7e]{8,512}$/)
        .meta({ description: "Your own key at the model's provider, which bills you then. It is never stored." }),
      'X-Provider': z.enum(PUBLIC_PROVIDERS).meta({ description: 'Whose key that is, where no model says so.' }),
      'Accept-Payment': said('`lightning/charge` puts the `Payment` challenge of a 402 first.', 'lightning/charge'),
    })
    .partial(),
  'param',
);

const limit = (unit: 'requests' | 'tokens') => {
  const name = unit === 'requests' ? 'Requests' : 'Tokens';
  return {
    [`X-Pura-RateLimit-Limit-${name}`]: whole(`${name} a minute that the key may send.`),
    [`X-Pura-RateLimit-Remaining-${name}`]: whole(`${name} left of them.`),
    [`X-Pura-RateLimit-Reset-${name}`]: whole(`Seconds until all ${unit} are free again.`),
  };
};

/** The headers that every answer has. */
export const HEADERS_OF_ALL = components(
  z.object({
    'X-Pura-Request-Id': said(
      "The gateway's id of the request; the same in `/api/requests` and in the ledger.",
      '019a7c1e-3b2f-7c44-9d1f-5a7b9e2d4c10',
    ),
  }),
  'header',
);

/** What is told in the head of every answer that came from a model. */
export const INFERENCE_HEADERS = HEADERS_OF_ALL.extend(
  components(
    z
      .object({
        'X-Pura-Provider': said('Who served it, after any fallback.', 'anthropic'),
        'X-Pura-Model': said('The model that served it.', 'claude-sonnet-4-5'),
        'X-Pura-Tier': z.enum(['cheap', 'mid', 'premium']),
        'X-Pura-Cost': decimal('What the request is worth, in USD: settled on JSON answers, the estimate of before on streams.'),
        'X-Pura-Cost-Kind': z.enum(['settled', 'estimate']),
        'X-Pura-Cost-Msat': whole('The same in msat.'),
        'X-Pura-Funding': z.enum(['free', 'wallet', 'byok']).meta({ description: 'Who pays for it.' }),
        'X-Pura-Charged-Msat': whole('What the wallet paid; on JSON answers.'),
        'X-Pura-Budget-Remaining': decimal("USD left of the key's daily budget."),
        'X-Pura-Free-Remaining': whole('Free requests left.'),
        'X-Pura-Balance': whole('Sats that can be spent.'),
        'X-Pura-Quality': z.enum(['high', 'low']).meta({ description: 'Echoes `routing.quality`.' }),
        'X-Pura-Explored': z.enum(['true', 'false']).meta({ description: 'Whether the router tried a model out.' }),
        'X-Pura-Body-Sha256': said('SHA-256 of the body as it came, in hex.'),
        'X-Pura-Ignored': said('Accepted fields that the model cannot take and that change no meaning.', 'top_k, min_p'),
        'X-Pura-Output-Cap': whole("The model's own maximum, where the cap that was asked for is above it."),
        'X-Pura-Cascade-Depth': whole('Steps of a cascade that were asked.'),
        'X-Pura-Cascade-Savings': decimal('USD that the dearest step would have cost more.'),
        'X-Pura-Confidence': said("The cascade's confidence in the answer, 0 to 1.", '0.83'),
        'x-request-id': said("The upstream's id where it is OpenAI, else the gateway's."),
        'X-Client-Request-Id': said("Echoes the request's."),
        'Payment-Receipt': said('Where a payment credential was used.'),
        'Idempotency-Replayed': z.literal('true').meta({ description: 'On the repeat of an answer.' }),
        ...limit('requests'),
        ...limit('tokens'),
      })
      .partial(),
    'header',
  ).shape,
);

/** What a 402 that can be paid says in its head: one invoice, in three dialects. */
export const CHALLENGE_HEADERS = components(
  z
    .object({
      'WWW-Authenticate': said(
        'Twice: `L402`, then `Payment` (or the other way round, as `Accept-Payment` asks). Pay the invoice and ask again with `Authorization: L402 <token>:<preimage>`.',
        'L402 macaroon="…", invoice="lnbc…", version="0", token="…"',
      ),
      'PAYMENT-REQUIRED': said('The same invoice for x402 clients, base64 JSON; ask again with `payment-signature`.'),
    })
    .partial(),
  'header',
);

import { z } from 'zod';
import { msat, paymentHash } from '../server/described-values.ts';
import { json, type Operation } from '../server/operation.ts';

const refusal = z
  .object({ status: z.literal('ERROR'), reason: z.string().meta({ description: 'A sentence for people.' }) })
  .meta({ id: 'LnurlError' });

/** An answer, or why there is none: with the same status, for wallets show no other answer's reason to their users. */
function answered(description: string, shape: z.ZodObject): Operation['answers'] {
  return { 200: json(description, z.union([shape, refusal])) };
}

const CORS = 'Always 200, and open to pages of all origins.';
const OPEN = { method: 'get', asker: 'anybody', tag: 'Lightning', description: CORS, errors: [] } as const;
const name = z.string().meta({ description: 'The handle: what stands before the `@`.', example: 'alice' });
const k1 = z
  .string()
  .regex(/^[0-9a-f]{64}$/)
  .meta({ description: 'The secret of the code.' });

const payRequest = z
  .object({
    tag: z.literal('payRequest'),
    callback: z.url(),
    minSendable: msat,
    maxSendable: msat,
    metadata: z.string().meta({ description: 'JSON. Each invoice has the SHA-256 of these very bytes.' }),
    commentAllowed: z.int().meta({ description: 'Characters.' }),
  })
  .meta({ id: 'LnurlPayRequest' });
const payment = z
  .object({ pr: z.string().meta({ description: 'BOLT11.' }), routes: z.array(z.never()), verify: z.url() })
  .meta({ id: 'LnurlPayment' });
const verification = z
  .object({
    status: z.literal('OK'),
    settled: z.boolean(),
    preimage: paymentHash.nullable().meta({ description: 'Hex, once it is paid; null where the wallet does not tell.' }),
    pr: z.string(),
  })
  .meta({ id: 'LnurlVerification' });
const withdrawRequest = z
  .object({
    tag: z.literal('withdrawRequest'),
    callback: z.url(),
    k1,
    defaultDescription: z.string(),
    minWithdrawable: msat,
    maxWithdrawable: msat,
  })
  .meta({ id: 'LnurlWithdrawRequest' });

/** What wallets ask for by LNURL. */
export const LNURL_OPERATIONS = {
  payRequest: {
    ...OPEN,
    id: 'getPayRequest',
    path: '/.well-known/lnurlp/:name',
    summary: 'What may be paid to a Lightning Address (LUD-16)',
    params: z.object({ name }),
    answers: answered('What a wallet may send.', payRequest),
  },
  pay: {
    ...OPEN,
    id: 'getPaymentInvoice',
    path: '/lnurl/pay/:name',
    summary: 'An invoice for a payment to a Lightning Address (LUD-06)',
    params: z.object({ name }),
    query: z.object({
      amount: msat.meta({ description: 'Millisatoshi, a multiple of 1000.', example: 21_000 }),
      comment: z.string().max(140).optional().meta({ description: "For the account's statement (LUD-12)." }),
    }),
    answers: answered('The invoice.', payment),
  },
  verify: {
    ...OPEN,
    id: 'verifyPayment',
    path: '/lnurl/verify/:hash',
    summary: 'Whether a payment to a Lightning Address has come (LUD-21)',
    params: z.object({ hash: paymentHash }),
    answers: answered('How the payment stands.', verification),
  },
  withdrawRequest: {
    ...OPEN,
    id: 'getWithdrawRequest',
    path: '/lnurl/withdraw',
    summary: 'What may be taken with a code to withdraw by (LUD-03)',
    query: z.object({ k1 }),
    answers: answered('What a wallet may take.', withdrawRequest),
  },
  withdraw: {
    ...OPEN,
    id: 'withdrawByCode',
    path: '/lnurl/withdraw/pay',
    summary: "Have a wallet's invoice paid with a code to withdraw by (LUD-03)",
    query: z.object({ k1, pr: z.string().meta({ description: 'BOLT11, with an amount.' }) }),
    answers: answered('The payment is on its way.', z.object({ status: z.literal('OK') })),
  },
  auth: {
    ...OPEN,
    id: 'lnurlAuth',
    path: '/lnurl/auth',
    summary: "Takes a wallet's signature of a code that a browser shows (LUD-04)",
    query: z.object({
      tag: z.literal('login').optional(),
      k1: z.string().optional().meta({ description: 'The challenge, 32 bytes in hex.' }),
      action: z.string().optional(),
      sig: z.string().optional().meta({ description: 'ECDSA in DER over the challenge, in hex.' }),
      key: z.string().optional().meta({ description: 'The linking key: a compressed public key of secp256k1, in hex.' }),
    }),
    answers: answered('What has been signed.', z.object({ status: z.literal('OK'), event: z.enum(['LOGGEDIN', 'LINKED', 'AUTHED']) })),
  },
} as const satisfies Record<string, Operation>;

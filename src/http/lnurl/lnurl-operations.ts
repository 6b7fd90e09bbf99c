import { z } from 'zod';
import { json, type AnswerDescription, type Operation } from '../server/operation.ts';

/** What wallets show to their users where something goes wrong (LUD-01); the status is 200 all the same. */
const refused = z.object({ status: z.literal('ERROR'), reason: z.string() });

function answer(schema: z.ZodType): AnswerDescription {
  return json('What the wallet asked for, or why not.', z.union([schema, refused]));
}

function lightning(row: Pick<Operation, 'id' | 'path' | 'summary'>) {
  return { ...row, method: 'get', asker: 'anybody', tag: 'Lightning', errors: [] } as const;
}

const name = z.object({ name: z.string().meta({ description: 'The handle: what stands before the @ of the address.' }) });

/** What wallets ask for by LNURL. */
export const LNURL_OPERATIONS = {
  payRequest: {
    ...lightning({ id: 'lnurlPayRequest', path: '/.well-known/lnurlp/:name', summary: 'What a Lightning Address takes (LUD-16)' }),
    params: name,
    answers: {
      200: answer(
        z.object({
          tag: z.literal('payRequest'),
          callback: z.url(),
          minSendable: z.int().meta({ description: 'msat' }),
          maxSendable: z.int().meta({ description: 'msat' }),
          metadata: z.string(),
          commentAllowed: z.int(),
        }),
      ),
    },
  },
  pay: {
    ...lightning({ id: 'lnurlPay', path: '/lnurl/pay/:name', summary: 'An invoice for a Lightning Address (LUD-06)' }),
    params: name,
    query: z.object({ amount: z.string().optional().meta({ description: 'msat, whole sats' }), comment: z.string().optional() }),
    answers: { 200: answer(z.object({ pr: z.string(), routes: z.array(z.unknown()), verify: z.url().optional() })) },
  },
  verify: {
    ...lightning({ id: 'lnurlVerify', path: '/lnurl/verify/:hash', summary: 'Whether such an invoice was paid (LUD-21)' }),
    answers: {
      200: answer(z.object({ status: z.literal('OK'), settled: z.boolean(), preimage: z.string().nullable(), pr: z.string() })),
    },
  },
  auth: {
    ...lightning({ id: 'lnurlAuth', path: '/lnurl/auth', summary: "Takes a wallet's signature of a code that a browser shows (LUD-04)" }),
    query: z.object({
      tag: z.literal('login').optional(),
      k1: z.string().optional().meta({ description: 'The challenge, 32 bytes in hex.' }),
      action: z.string().optional(),
      sig: z.string().optional().meta({ description: 'ECDSA in DER over the challenge, in hex.' }),
      key: z.string().optional().meta({ description: 'The linking key: a compressed public key of secp256k1, in hex.' }),
    }),
    answers: {
      200: answer(z.object({ status: z.literal('OK'), event: z.enum(['LOGGEDIN', 'LINKED', 'AUTHED']) })),
    },
  },
} as const satisfies Record<string, Operation>;

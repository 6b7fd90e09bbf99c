import { createHmac } from 'node:crypto';
import type { Pool } from '../../src/db/postgres.ts';

/** A 402 taken apart: its one invoice, and the credential that each dialect makes of it. */
export interface Challenge {
  readonly invoice: string;
  readonly amount: number;
  readonly token: string;
  /** The `Authorization` of an L402 retry. */
  l402(preimage: string): Record<string, string>;
  mpp(preimage: string): Record<string, string>;
  readonly mppId: string;
  x402(changes?: { invoice?: string; token?: string }): Record<string, string>;
}

/** Reads the challenges of a 402's headers. Throws where it has none, or they disagree. */
export function challengeOf({ headers }: { headers: Headers }): Challenge {
  const authenticate = headers.get('www-authenticate') ?? '';
  const parameters = Object.fromEntries([...authenticate.matchAll(/(\w+)="([^"]*)"/g)].map(([, name = '', value = '']) => [name, value]));
  const { token = '', macaroon, invoice = '', id = '', realm, method, intent, request = '', expires } = parameters;
  const charge = JSON.parse(Buffer.from(request, 'base64url').toString()) as { amount: string; methodDetails: { invoice: string } };
  const offer = JSON.parse(Buffer.from(headers.get('payment-required') ?? '', 'base64').toString()) as {
    accepts: [{ extra: { invoice: string; token: string } }];
  };
  const [accepted] = offer.accepts;
  if (macaroon !== token || accepted.extra.token !== token) throw new Error('the dialects offer different tokens');
  if (charge.methodDetails.invoice !== invoice || accepted.extra.invoice !== invoice)
    throw new Error('the dialects offer different invoices');
  return {
    invoice,
    amount: Number(charge.amount),
    token,
    mppId: id,
    l402: (preimage) => ({ authorization: `L402 ${token}:${preimage}` }),
    mpp: (preimage) => {
      const credential = { challenge: { id, realm, method, intent, request, expires }, payload: { preimage } };
      return { authorization: `Payment ${Buffer.from(JSON.stringify(credential)).toString('base64url')}` };
    },
    x402: (changes = {}) => {
      const extra = { ...accepted.extra, ...changes };
      const signature = { x402Version: 2, scheme: 'exact', payload: { invoice: extra.invoice }, accepted: { ...accepted, extra } };
      return { 'payment-signature': Buffer.from(JSON.stringify(signature)).toString('base64') };
    },
  };
}

/** What a holder makes of a token, without any secret, to lend it out. */
export function lend(token: string, ...caveats: string[]): string {
  return caveats
    .reduce(
      (bytes, caveat) => {
        const [end, signature] = [bytes.length - 35, bytes.subarray(-32)];
        const condition = Buffer.from(caveat);
        const signed = createHmac('sha256', signature).update(condition).digest();
        return Buffer.concat([bytes.subarray(0, end), Buffer.from([2, condition.length]), condition, Buffer.from([0, 0, 6, 32]), signed]);
      },
      Buffer.from(token, 'base64'),
    )
    .toString('base64');
}

/** The preimage that the simulated node gives out for an invoice once it is paid, taken from its own books. */
export async function preimageOf(pool: Pool, invoice: string): Promise<string> {
  const { rows } = await pool.query<{ preimage: Buffer }>('select preimage from simulated_invoices where bolt11 = $1', [invoice]);
  if (!rows[0]) throw new Error('the node has no such invoice');
  return rows[0].preimage.toString('hex');
}

/** Settles an invoice at the simulated node without telling anybody, as when its notification is lost. Gives the preimage. */
export async function settleSilently(pool: Pool, invoice: string): Promise<string> {
  await pool.query(
    `update simulated_invoices set state = 'settled', received_msat = amount_msat, settled_at = clock_timestamp(),
       settle_index = nextval('simulated_settle_index') where bolt11 = $1 and state = 'open'`,
    [invoice],
  );
  return preimageOf(pool, invoice);
}

/** A preimage that is as good as any, but of no invoice. */
export const FOREIGN_PREIMAGE = createHmac('sha256', 'nobody').update('nothing').digest('hex');

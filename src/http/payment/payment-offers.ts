import type { Request } from 'express';
import { isFunded } from '../../accounts/account.ts';
import type { ApiKey } from '../../accounts/api-key.ts';
import { PAYER_KEY_PREFIX } from '../../accounts/payer-account.ts';
import type { Config } from '../../config/config.ts';
import type { Pool } from '../../db/postgres.ts';
import { ERRORS, GatewayError } from '../../errors.ts';
import type { Funding, Needed } from '../../funding.ts';
import { challengeHeaders } from '../../challenges/challenge.ts';
import { invoiceView, type Invoice, type InvoiceView } from '../../invoices/invoice.ts';
import type { Grant } from '../../challenges/payment-token.ts';
import type { Wallet } from '../../lightning/wallet.ts';
import { WindowLimit } from '../../window-limit.ts';
import { sharesOf } from '../server/client-address.ts';
import { clientOf } from '../server/forwarded.ts';
import { originOf } from '../server/origin.ts';
import type { Unpaid } from './payers.ts';

/** Who is asked to pay: the account of a key, whoever has not paid for a credential yet, or nobody in particular. */
export type Debtor = { key: ApiKey } | Unpaid | null;

/** What a 402 says besides its invoice. */
export interface Terms extends Needed {
  /** Found out where absent. */
  code?: 'free_tier_exceeded' | 'insufficient_balance';
  reason?: 'used_up' | 'too_costly' | 'daily_ceiling';
  headers?: Readonly<Record<string, string>>;
}

export interface PaymentOffersDeps {
  pool: Pool;
  funding: Pick<Funding, 'offer' | 'offerKeyless'>;
  wallet: Pick<Wallet, 'network'>;
  config: Pick<Config, 'secretKeys' | 'PUBLIC_URL' | 'L402_TOKEN_DAYS' | 'KEYLESS_INVOICES_PER_IP_PER_HOUR'>;
}

const HOUR_MS = 3_600_000;

/** Makes the 402s that can be paid: one invoice, offered in every dialect at once. */
export class PaymentOffers {
  readonly #deps: PaymentOffersDeps;
  readonly #keylessLimit: WindowLimit;

  constructor(deps: PaymentOffersDeps) {
    this.#deps = deps;
    this.#keylessLimit = new WindowLimit({ points: deps.config.KEYLESS_INVOICES_PER_IP_PER_HOUR, windowMs: HOUR_MS });
  }

  /**
   * The 402 for a request that lacks money. What its challenges are paid with stands for the debtor's key row, or for one that the
   * payment will make. It offers nothing where the account's owner keys expire: what was paid in could be lost with them. Throws what
   * `Funding.offer` does otherwise, and `too_many_invoices` for an address that asked for too many without a key.
   */
  async refuse(req: Request, debtor: Debtor, terms: Terms): Promise<GatewayError> {
    const { pool, wallet, config } = this.#deps;
    const key = debtor?.key ?? null;
    const code = terms.code ?? (key && (await isFunded(pool, key.accountId)) ? 'insufficient_balance' : 'free_tier_exceeded');
    const reason = code === 'free_tier_exceeded' && { reason: terms.reason ?? 'used_up' };
    const invoice = key ? await this.#invoiceOf(key, terms) : await this.#keylessInvoice(req, debtor, terms);
    if (invoice instanceof GatewayError) {
      const message = `${ERRORS[code].message} ${invoice.message}`;
      return new GatewayError(code, { message, fields: { ...reason }, headers: { ...terms.headers } });
    }
    const origin = originOf(req, config.PUBLIC_URL);
    const challenges = challengeHeaders(invoice, {
      roots: config.secretKeys,
      network: wallet.network,
      grant: this.#grantOf(debtor, invoice),
      resourceUrl: origin + req.path,
      acceptPayment: req.get('accept-payment'),
    });
    const funding = invoiceView(invoice, origin);
    const problem = key ? ERRORS[code].message : 'Nobody has paid for this request yet.';
    return new GatewayError(code, {
      message: `${problem} ${howToPay(funding)}`,
      fields: { ...reason, funding },
      headers: { ...terms.headers, ...challenges },
    });
  }

  /** The invoice for a key's account, or why that is to have none. */
  async #invoiceOf(key: ApiKey, needed: Needed): Promise<Invoice | GatewayError> {
    try {
      return await this.#deps.funding.offer(key, needed);
    } catch (error) {
      if (error instanceof GatewayError && error.code === 'last_owner_key') return error;
      throw error;
    }
  }

  /** Throws `too_many_invoices` where the sender would be refused a new invoice without a key: before its request is even read. */
  refuseSpent(req: Request): void {
    this.#refuseAfter(this.#keylessLimit.secondsUntilFree(sharesOf(clientOf(req))));
  }

  async #keylessInvoice(req: Request, debtor: Debtor, needed: Needed): Promise<Invoice> {
    const earlier = debtor && 'unpaid' in debtor ? debtor.unpaid : undefined;
    const shares = sharesOf(clientOf(req));
    let counted = false;
    const onNew = (): void => {
      this.#refuseAfter(this.#keylessLimit.take(shares));
      counted = true;
    };
    try {
      return await this.#deps.funding.offerKeyless(needed, { earlier, networks: shares.map(({ name }) => name), onNew });
    } catch (error) {
      // One that could not be made is none.
      if (counted) this.#keylessLimit.giveBack(shares);
      throw error;
    }
  }

  #refuseAfter(seconds: number): void {
    if (seconds === 0) return;
    throw new GatewayError('too_many_invoices', {
      message: `At most ${this.#keylessLimit.points} invoices an hour for one address without a key. Pay one, or make a key.`,
      retryAfter: seconds,
    });
  }

  #grantOf(debtor: Debtor, invoice: Invoice): Grant {
    const idleDays = this.#deps.config.L402_TOKEN_DAYS ?? null;
    const lent = debtor && 'unpaid' in debtor ? debtor.grant.lent : debtor?.key.lent;
    if (debtor?.key) return { keyId: debtor.key.id, keyPrefix: debtor.key.prefix, idleDays, lent };
    if (invoice.payerKeyId === null) throw new Error(`invoice ${invoice.id} is somebody's, but offered without a key`);
    return { keyId: invoice.payerKeyId, keyPrefix: PAYER_KEY_PREFIX, idleDays, lent };
  }
}

/** Most clients show their user nothing but the message. It ends with the URL, so that nothing sticks to that when it is clicked or copied. */
function howToPay({ amount, invoiceUrl }: InvoiceView): string {
  return `Pay ${amount} ${amount === 1 ? 'sat' : 'sats'} to go on: ${invoiceUrl}`;
}

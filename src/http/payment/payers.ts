import { createHash } from 'node:crypto';
import type { Request } from 'express';
import type { ApiKey, Principal } from '../../accounts/api-key.ts';
import type { KeyAuthenticator } from '../../accounts/key-authenticator.ts';
import { PAYER_KEY_PREFIX } from '../../accounts/payer-account.ts';
import type { RootSecret } from '../../config/secret-keys.ts';
import { GatewayError } from '../../errors.ts';
import type { Funding } from '../../funding.ts';
import type { Invoice } from '../../invoices/invoice.ts';
import { mppReceipt, readMppCredential } from '../../challenges/mpp.ts';
import { readToken, type Claim, type Grant } from '../../challenges/payment-token.ts';
import { readX402Signature } from '../../challenges/x402.ts';
import { clientAddress } from '../server/client-address.ts';
import { readCredential, type Credential } from '../server/credential.ts';
import { clientOf } from '../server/forwarded.ts';

/** Whoever shows a genuine credential whose payment has not come. */
export interface Unpaid {
  readonly unpaid: Invoice;
  readonly grant: Grant;
  /** The key row of the grant; null where the payment would make it. */
  readonly key: ApiKey | null;
}

export interface IdentifyOptions {
  /** Takes a keyless payer's token also when it has expired: for what that payer may do for ever, which is to get a key. */
  expiredTokens?: boolean;
  /** Takes what is known of a payment without asking the node: for a first look, before the one that decides. */
  asKnown?: boolean;
}

export interface PayersDeps {
  keys: Pick<KeyAuthenticator, 'authenticate' | 'byId' | 'used'>;
  funding: Pick<Funding, 'ofPayment' | 'confirm'>;
  roots: readonly RootSecret[];
  /** Paid invoices remembered at most; past that the one is forgotten that was shown first. */
  mostRemembered?: number;
}

const DAY_MS = 86_400_000;
const MOST_REMEMBERED = 10_000;

/**
 * Tells who pays for a request: the owner of an API key, or of a payment's credential. A preimage or a token only authenticates. That
 * a payment came is the node's own word, asked for in the same request where it is not known yet.
 */
export class Payers {
  readonly #deps: PayersDeps;
  /** Paid invoices never change. By payment hash, the oldest leave first. */
  readonly #paid = new Map<string, Invoice>();
  readonly #stoodFor = new WeakMap<Request, Pick<ApiKey, 'id' | 'prefix'>>();

  constructor(deps: PayersDeps) {
    this.#deps = deps;
  }

  /** Payments remembered now. */
  get remembered(): number {
    return this.#paid.size;
  }

  /** Lets a request act by a key that it does not show: a session of its sender's has been found to stand for it. */
  standFor(req: Request, { id, prefix }: Pick<ApiKey, 'id' | 'prefix'>): void {
    this.#stoodFor.set(req, { id, prefix });
  }

  /**
   * Who pays; null where the request carries no credential. Throws `invalid_api_key` for one that is malformed, tampered with, not
   * ours, revoked or expired, `invalid_request` for several that contradict each other, and `lightning_unavailable` or `overloaded`
   * where nobody can say whether it was paid: it stays good.
   */
  async identify(req: Request, options: IdentifyOptions = {}): Promise<Principal | Unpaid | null> {
    const stoodFor = this.#stoodFor.get(req);
    if (stoodFor) return this.#byKey(stoodFor);
    const credential = readCredential(req);
    const payer = credential && (await this.#payerOf(req, credential, options));
    const signature = req.headers['payment-signature'];
    if (signature === undefined) return payer;
    const signer = await this.#signerOf(String(signature), options);
    // A client that pays for a key's request shows both: the payment counts, the key says under whose limits.
    if (payer && accountOf(payer) !== accountOf(signer)) throw new GatewayError('invalid_api_key');
    return 'unpaid' in signer ? signer : (payer ?? signer);
  }

  /** The live key, by the secret that it had when it was named. */
  async #byKey({ id, prefix }: Pick<ApiKey, 'id' | 'prefix'>): Promise<Principal> {
    const { keys } = this.#deps;
    const key = await keys.byId(id, prefix);
    keys.used(key);
    return { key };
  }

  async #payerOf(req: Request, credential: Credential, options: IdentifyOptions): Promise<Principal | Unpaid> {
    const { keys, roots } = this.#deps;
    switch (credential.kind) {
      case 'key':
        return { key: await keys.authenticate(credential.secret, () => clientAddress(clientOf(req))) };
      case 'l402': {
        const claim = proven(readToken(roots, credential.token), credential.preimage);
        return this.#standing(claim, await this.#invoiceOf(claim), options);
      }
      case 'mpp': {
        const mpp = readMppCredential(roots, credential.token);
        const claim = proven(mpp?.claim ?? null, mpp?.preimage ?? '');
        const payer = await this.#standing(claim, await this.#invoiceOf(claim), options);
        if ('unpaid' in payer || !mpp) return payer;
        // Paid, so known from here on.
        const { paidAt: settledAt } = await this.#invoiceOf(claim);
        return settledAt ? { ...payer, receipt: mppReceipt({ ...mpp, ...claim, settledAt }) } : payer;
      }
      case 'unusable':
        throw new GatewayError('invalid_api_key');
    }
  }

  /** Of an x402 payment, which shows no preimage: the invoice's own token does instead. */
  async #signerOf(signature: string, options: IdentifyOptions): Promise<Principal | Unpaid> {
    const shown = readX402Signature(signature);
    const claim = shown && readToken(this.#deps.roots, shown.token);
    const invoice = claim && (await this.#invoiceOf(claim));
    if (!invoice || invoice.bolt11 !== shown.bolt11) throw new GatewayError('invalid_api_key');
    return this.#standing(claim, invoice, options);
  }

  async #invoiceOf({ paymentHash }: Claim): Promise<Invoice> {
    const invoice = this.#paid.get(paymentHash.toString('hex')) ?? (await this.#deps.funding.ofPayment(paymentHash));
    if (!invoice) throw new GatewayError('invalid_api_key');
    return this.#remembered(invoice);
  }

  /** What a genuine claim is worth: its key row lives, and its payment came. */
  async #standing({ grant }: Claim, known: Invoice, options: IdentifyOptions): Promise<Principal | Unpaid> {
    const { keys, funding } = this.#deps;
    const before = known.accountId === null ? null : await this.#keyOf(grant, known);
    const invoice = options.asKnown === true ? known : this.#remembered(await funding.confirm(known));
    if (invoice.status !== 'paid') return { unpaid: invoice, grant, key: before };
    const key = before ?? (await this.#keyOf(grant, invoice));
    const { lent } = grant;
    const mayBeExpired = options.expiredTokens === true && key.prefix === PAYER_KEY_PREFIX && !lent;
    if (hasIdledTooLong(grant, key, invoice) && !mayBeExpired) throw new GatewayError('invalid_api_key');
    keys.used(key);
    // A borrower who could make a key would have it for longer than the token.
    return { key: lent ? { ...key, role: 'inference', lent } : key };
  }

  /** The live key row of a grant. Throws `invalid_api_key` where there is none, or it is not of the account that was paid for. */
  async #keyOf({ keyId, keyPrefix }: Grant, { accountId }: Invoice): Promise<ApiKey> {
    const key = await this.#deps.keys.byId(keyId, keyPrefix);
    if (key.accountId !== accountId) throw new GatewayError('invalid_api_key');
    return key;
  }

  #remembered(invoice: Invoice): Invoice {
    if (invoice.status !== 'paid') return invoice;
    const { mostRemembered = MOST_REMEMBERED } = this.#deps;
    this.#paid.set(invoice.paymentHash.toString('hex'), invoice);
    for (const oldest of this.#paid.keys()) {
      if (this.#paid.size <= mostRemembered) break;
      this.#paid.delete(oldest);
    }
    return invoice;
  }
}

/** A genuine claim whose preimage (hex or base64url) is that of its payment. Throws `invalid_api_key` for any other. */
function proven(claim: Claim | null, preimage: string): Claim {
  const bytes = Buffer.from(preimage, /^[0-9a-f]{64}$/i.test(preimage) ? 'hex' : 'base64url');
  if (!claim || bytes.length !== 32 || !createHash('sha256').update(bytes).digest().equals(claim.paymentHash)) {
    throw new GatewayError('invalid_api_key');
  }
  return claim;
}

/** A token without a limit never has. What keeps one alive is any use of the key row that it stands for. */
function hasIdledTooLong({ idleDays }: Grant, { lastUsedAt }: ApiKey, { creditedAt }: Invoice): boolean {
  if (idleDays === null) return false;
  const lastUse = Math.max(lastUsedAt?.getTime() ?? 0, creditedAt?.getTime() ?? 0);
  return Date.now() - lastUse > idleDays * DAY_MS;
}

function accountOf(payer: Principal | Unpaid): string | null {
  return 'unpaid' in payer ? payer.unpaid.accountId : payer.key.accountId;
}

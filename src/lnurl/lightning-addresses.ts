import type { ActingKey } from '../accounts/acting-key.ts';
import { satsFromMsat, type Msat } from '../amount.ts';
import { GatewayError } from '../errors.ts';
import type { Funding } from '../funding.ts';
import { TAKES_NOTHING } from '../invoices/address-invoices.ts';
import { addressMetadata } from '../invoices/address-metadata.ts';
import { LARGEST_TOPUP_SAT, type Invoice } from '../invoices/invoice.ts';
import { NO_DESCRIPTION_HASHES } from '../lightning/description-hash.ts';
import { DescriptionHashError, type Network } from '../lightning/wallet.ts';
import { WindowLimit, type Share } from '../window-limit.ts';
import type { Handles } from './handles.ts';
import { lnurlObstacle } from './lnurl-obstacle.ts';
import { encodeLnurl } from './lnurl-url.ts';
import { payerComment, MOST_COMMENT_CHARACTERS } from './payer-comment.ts';

export interface LightningAddressesOptions {
  handles: Handles;
  funding: Pick<Funding, 'forAddress' | 'addressPayment'>;
  wallet: { readonly network: Network };
  /** What one sender may ask for: as many as without a key. */
  invoicesAnHour: number;
  /** A clock that only goes forward, in milliseconds. */
  now?: () => number;
}

/** An account's Lightning Address, for its owner. */
export interface LightningAddress {
  readonly handle: string;
  /** `handle@host` */
  readonly address: string;
  /** The same for a QR code (LUD-01), upper case; after `lightning:` it is a link. */
  readonly lnurl: string;
  /** Why nobody can pay to it now, in a sentence; null where it works. */
  readonly off: string | null;
}

/** The answer to a wallet's first question (LUD-06). Amounts are msat. */
export interface PayRequest {
  readonly tag: 'payRequest';
  readonly callback: string;
  readonly minSendable: number;
  readonly maxSendable: number;
  readonly metadata: string;
  readonly commentAllowed: number;
}

/** A payment that a wallet asks for. */
export interface WantedPayment {
  readonly handle: string;
  readonly amountMsat: Msat;
  readonly comment: string | undefined;
  /** The sender and the networks around, narrowest first. */
  readonly shares: readonly Share[];
}

/** Where a payment stands (LUD-21). */
export interface Verification {
  readonly status: 'OK';
  readonly settled: boolean;
  readonly preimage: string | null;
  readonly pr: string;
}

const LEAST_MSAT = 1_000;
const MOST_MSAT = LARGEST_TOPUP_SAT * 1_000;
const FROZEN = 'The account is frozen: nobody can pay to its address.';
const HOUR_MS = 3_600_000;
/** How long a wallet that refused is not asked again: it may be another version by then. */
const REFUSED_MS = 600_000;

/**
 * Lightning Addresses (LUD-16, with LUD-06, LUD-12 and LUD-21): anybody may pay to an account's `handle@host`, any whole number of sats up to
 * a top-up's most, and leave a comment.
 */
export class LightningAddresses {
  readonly #options: LightningAddressesOptions;
  readonly #now: () => number;
  readonly #senders: WindowLimit;
  #refusedUntil = -Infinity;

  constructor(options: LightningAddressesOptions) {
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
    this.#senders = new WindowLimit({ points: options.invoicesAnHour, windowMs: HOUR_MS, now: this.#now });
  }

  /** The address of an account under `origin`, which is where wallets reach the gateway. */
  async addressOf(accountId: string, origin: string): Promise<LightningAddress> {
    const { handles, wallet } = this.#options;
    const handle = await handles.of(accountId);
    const off = lnurlObstacle(origin, wallet.network) ?? this.#refusal() ?? ((await handles.isFrozen(accountId)) ? FROZEN : null);
    const { host } = new URL(origin);
    return { handle, address: `${handle}@${host}`, lnurl: encodeLnurl(`${origin}/.well-known/lnurlp/${handle}`), off };
  }

  /** Gives the account another address; the one of before stops at once. Throws what `Handles.change` does. */
  async changeHandle(owner: ActingKey, handle: string): Promise<string> {
    return this.#options.handles.change(owner, handle);
  }

  /** What a wallet may pay to a handle. Throws GatewayError with a sentence for its user. */
  async payRequest(handle: string, origin: string): Promise<PayRequest> {
    await this.#accountOf(handle);
    return {
      tag: 'payRequest',
      callback: `${origin}/lnurl/pay/${handle}`,
      minSendable: LEAST_MSAT,
      maxSendable: MOST_MSAT,
      metadata: addressMetadata(handle, new URL(origin).host),
      commentAllowed: MOST_COMMENT_CHARACTERS,
    };
  }

  /** The invoice for a payment that a wallet asks for. Throws GatewayError with a sentence for its user. */
  async invoice({ handle, amountMsat, comment, shares }: WantedPayment, origin: string): Promise<Invoice> {
    const accountId = await this.#accountOf(handle);
    if (amountMsat < LEAST_MSAT || amountMsat > MOST_MSAT)
      throw refused('amount', `The amount must be from 1 to ${LARGEST_TOPUP_SAT} sats, in millisats.`);
    if (amountMsat % 1000n !== 0n) throw refused('amount', 'The amount must be whole sats: a multiple of 1000 millisats.');
    const payment = {
      ...{ accountId, handle, amountSat: satsFromMsat(amountMsat), comment: payerComment(comment) },
      metadata: addressMetadata(handle, new URL(origin).host),
    };
    const seconds = this.#senders.take(shares);
    if (seconds > 0) throw new GatewayError('too_many_invoices', { message: `Too many payments asked for. Try again in ${seconds} s.` });
    try {
      return await this.#options.funding.forAddress(
        payment,
        shares.map(({ name }) => name),
      );
    } catch (error) {
      // One that could not be made is none.
      this.#senders.giveBack(shares);
      if (error instanceof GatewayError && error.cause instanceof DescriptionHashError) this.#refusedUntil = this.#now() + REFUSED_MS;
      throw error;
    }
  }

  /** Where the payment of a hash stands. Throws GatewayError `not_found` for everything that no address was asked for. */
  async verify(paymentHash: Buffer): Promise<Verification> {
    const found = await this.#options.funding.addressPayment(paymentHash);
    if (!found) throw new GatewayError('not_found', { message: 'Not found' });
    const { invoice, preimage } = found;
    return { status: 'OK', settled: invoice.status === 'paid', preimage: preimage?.toString('hex') ?? null, pr: invoice.bolt11 };
  }

  async #accountOf(handle: string): Promise<string> {
    const off = this.#refusal();
    if (off !== null) throw new GatewayError('lightning_unavailable', { message: off });
    const accountId = await this.#options.handles.accountOf(handle);
    if (accountId === undefined) throw new GatewayError('not_found', { message: 'No such address.' });
    if (await this.#options.handles.isFrozen(accountId)) throw new GatewayError('not_permitted', { message: TAKES_NOTHING });
    return accountId;
  }

  #refusal(): string | null {
    return this.#now() < this.#refusedUntil ? NO_DESCRIPTION_HASHES : null;
  }
}

function refused(param: string, message: string): GatewayError {
  return new GatewayError('invalid_request', { message, param });
}

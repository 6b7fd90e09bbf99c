import type { z } from 'zod';
import { GatewayError } from '../../errors.ts';
import { NwcAnswerError, paymentReceived } from './nwc-answers.ts';

/** An event of Nostr, as far as it matters. Only events that the wallet signed get here. */
interface NostrEvent {
  id: string;
  content: string;
  tags: string[][];
}

interface NostrFilter {
  kinds: number[];
  authors: string[];
  limit?: number;
  /** By the values of a tag. */
  [tag: `#${string}`]: string[] | undefined;
}

export interface NotificationListeners {
  onPaid: (paymentHash: Buffer) => void;
  onConnected: () => void;
  onLost: (error: GatewayError) => void;
}

/** What of the library's client is used: keys and encryption, and connections to relays that come back by themselves. */
export interface NostrClient<Event extends NostrEvent> {
  readonly relayUrls: string[];
  readonly walletPubkey: string;
  readonly publicKey: string;
  /** How the wallet and we encrypt; undefined until the wallet's own event has told. */
  encryption: 'nip44_v2' | 'nip04' | undefined;
  encrypt(pubkey: string, content: string): Promise<string>;
  decrypt(pubkey: string, content: string): Promise<string>;
  signEvent(event: { kind: number; created_at: number; tags: string[][]; content: string }): Promise<Event>;
  readonly pool: {
    subscribe(
      relays: string[],
      filter: NostrFilter,
      handlers: { onevent(event: Event): void; onconnect?(url: string): void; ondisconnect?(url: string): void },
    ): { close(): void };
    publish(relays: string[], event: Event): Promise<string>[];
    close(relays: string[]): void;
  };
}

/** What a wallet's own event (kind 13194) says of it, whether the wallet is there or not. */
export interface WalletAbilities {
  readonly encryption: 'nip44_v2' | 'nip04';
  readonly methods: readonly string[];
}

/** How long one request may take, and for how long the wallet may begin to act on it. */
export interface RequestLimits {
  deadlineMs?: number | undefined;
  expiresInSeconds?: number | undefined;
}

/** The kinds of NIP-47's events. */
const INFO = 13194;
const REQUEST = 23194;
const RESPONSE = 23195;
const NOTIFICATION = { nip04: 23196, nip44_v2: 23197 } as const;

/** Why a wallet could not be asked, in words for everybody; a wallet's own error has its code. */
class NwcFailure extends Error {
  override name = 'NwcFailure';
  readonly reason: string;
  readonly code: string | undefined;

  constructor(reason: string, { code, cause }: { code?: string; cause?: unknown } = {}) {
    super(code === undefined ? reason : `${reason}: ${code}`, { cause });
    this.reason = reason;
    this.code = code;
  }
}

const SILENT_RELAY = 'the relay of the wallet does not answer';
const NO_RELAY = 'no relay of the wallet can be reached';

/** Why the wallet is not ready, for `/ready` and `/api/status`. */
export function reasonOf(error: unknown): string {
  const { cause } = error instanceof Error ? error : {};
  return cause instanceof NwcFailure ? cause.reason : 'the wallet failed';
}

/** The code of the wallet's own refusal; undefined where it is not the wallet that failed, or nobody knows what it did. */
export function refusalOf(error: unknown): string | undefined {
  return error instanceof GatewayError && error.cause instanceof NwcFailure ? error.cause.code : undefined;
}

/** Whether it is the wallet's own word that it knows no such invoice. */
export function isNotFound(error: unknown): boolean {
  return refusalOf(error) === 'NOT_FOUND';
}

/** What a wallet answers for reasons that have nothing to do with what exactly it was asked for. */
const PASSING = new Set(['RATE_LIMITED', 'QUOTA_EXCEEDED', 'UNAUTHORIZED', 'RESTRICTED', 'UNSUPPORTED_ENCRYPTION']);

/** Whether it is the wallet's own word that it does not do this, or fails at it. */
export function isRefusal(error: unknown): boolean {
  const { code } = error instanceof GatewayError && error.cause instanceof NwcFailure ? error.cause : {};
  return code !== undefined && !PASSING.has(code);
}

/**
 * Requests to a wallet over Nostr relays (NIP-47, https://github.com/nostr-protocol/nips/blob/master/47.md). The library's own are not
 * used: one that gets no answer keeps its subscription for a minute after its caller has gone, of which relays allow few; an answer that
 * cannot be decrypted ends the process; and what does not suit is printed, preimages too.
 */
export class NwcRequests<Event extends NostrEvent> {
  readonly #client: NostrClient<Event>;
  readonly #deadlineMs: number;

  constructor(client: NostrClient<Event>, deadlineMs: number) {
    this.#client = client;
    this.#deadlineMs = deadlineMs;
  }

  /** The wallet's answer to one request. Rejects with GatewayError `lightning_unavailable`, also for the wallet's own errors. */
  async ask<T>(method: string, params: object, answer: z.ZodType<T>, limits: RequestLimits = {}): Promise<T> {
    const { deadlineMs = this.#deadlineMs, expiresInSeconds } = limits;
    const deadline = AbortSignal.timeout(deadlineMs);
    try {
      const encryption = await this.agree(deadline);
      const { walletPubkey } = this.#client;
      const now = Math.floor(Date.now() / 1000);
      const request = await this.#client.signEvent({
        kind: REQUEST,
        created_at: now,
        tags: [
          ['p', walletPubkey],
          ['encryption', encryption],
          // For wallets from before there was a choice.
          ['v', encryption === 'nip44_v2' ? '1.0' : '0.0'],
          ...(expiresInSeconds === undefined ? [] : [['expiration', String(now + expiresInSeconds)]]),
        ],
        content: await this.#client.encrypt(walletPubkey, JSON.stringify({ method, params })),
      });
      const filter = { kinds: [RESPONSE], authors: [walletPubkey], '#e': [request.id] };
      return readAnswer(await this.#read(await this.#firstEvent(filter, deadline, request)), answer);
    } catch (error) {
      throw new GatewayError('lightning_unavailable', { retryAfter: 5, cause: error });
    }
  }

  /** How to encrypt, by what the wallet says of itself, asked once. Rejects where its relays do not tell. */
  async agree(deadline: AbortSignal = AbortSignal.timeout(this.#deadlineMs)): Promise<'nip44_v2' | 'nip04'> {
    return this.#client.encryption ?? (await this.abilities(deadline)).encryption;
  }

  /** What the wallet says of itself. Rejects where its relays do not tell. */
  async abilities(deadline: AbortSignal = AbortSignal.timeout(this.#deadlineMs)): Promise<WalletAbilities> {
    const info = await this.#firstEvent({ kinds: [INFO], authors: [this.#client.walletPubkey], limit: 1 }, deadline);
    const tag = (name: string) => info.tags.find(([key]) => key === name)?.[1] ?? '';
    const offered = tag('encryption').split(/\s+/);
    const encryption = offered.includes('nip44_v2') || tag('v').includes('1.0') ? 'nip44_v2' : 'nip04';
    this.#client.encryption = encryption;
    return { encryption, methods: info.content.slice(0, 2_000).split(/[\s,]+/) };
  }

  /**
   * Calls `onPaid` with the payment hash of each notification that one was received. `onConnected` is called for each relay that is
   * connected, `onLost` when none is any more: it is for the caller then to end this and begin anew. Returns the function that ends it.
   */
  notifications(encryption: 'nip44_v2' | 'nip04', { onPaid, onConnected, onLost }: NotificationListeners): () => void {
    const { pool, relayUrls, walletPubkey, publicKey } = this.#client;
    const lost = new Set<string>();
    // What relays have kept of the past is of no use: what settled meanwhile is looked up.
    const filter = { kinds: [NOTIFICATION[encryption]], authors: [walletPubkey], '#p': [publicKey], limit: 1 };
    const subscription = pool.subscribe(relayUrls, filter, {
      onevent: (event) => {
        this.#read(event).then(
          (content) => {
            const read = paymentReceived.safeParse(content);
            if (read.success) onPaid(read.data.notification.payment_hash);
          },
          // Nothing that we can read: the invoice is looked up on schedule.
          () => {},
        );
      },
      onconnect: (url) => {
        lost.delete(url);
        onConnected();
      },
      ondisconnect: (url) => {
        if (lost.add(url).size === new Set(relayUrls).size)
          onLost(new GatewayError('lightning_unavailable', { cause: new NwcFailure(NO_RELAY) }));
      },
    });
    return () => subscription.close();
  }

  close(): void {
    this.#client.pool.close(this.#client.relayUrls);
  }

  /** The first event that a filter lets through, after publishing `request` where there is one. */
  #firstEvent(filter: NostrFilter, deadline: AbortSignal, request?: Event): Promise<Event> {
    const { pool, relayUrls } = this.#client;
    return new Promise((resolve, reject) => {
      let accepted = false;
      const end = (): void => {
        deadline.removeEventListener('abort', onLate);
        subscription.close();
      };
      const fail = (error: NwcFailure): void => {
        end();
        reject(error);
      };
      const onLate = (): void => {
        fail(new NwcFailure(accepted ? 'the wallet does not answer' : SILENT_RELAY));
        // A connection that swallows everything looks like any other: the next call makes a new one.
        if (!accepted) this.close();
      };
      deadline.addEventListener('abort', onLate);
      const subscription = pool.subscribe(relayUrls, filter, {
        onevent: (event) => {
          end();
          resolve(event);
        },
      });
      if (request) {
        this.#publish(request).then(
          () => (accepted = true),
          (cause: unknown) => fail(new NwcFailure(NO_RELAY, { cause })),
        );
      }
    });
  }

  /** Resolves once a relay has taken the event. */
  async #publish(event: Event): Promise<void> {
    const { pool, relayUrls } = this.#client;
    const taken = pool.publish(relayUrls, event).map(async (relay) => {
      const said = await relay;
      // The library resolves to this where it should reject.
      if (said.startsWith('connection failure')) throw new Error(said);
    });
    await Promise.any(taken);
  }

  async #read(event: Event): Promise<unknown> {
    return JSON.parse(await this.#client.decrypt(this.#client.walletPubkey, event.content));
  }
}

/** Throws NwcFailure for an error of the wallet's, and NwcAnswerError for an answer that does not suit; neither carries the answer. */
function readAnswer<T>(response: unknown, answer: z.ZodType<T>): T {
  const { result, error } = (response ?? {}) as { result?: unknown; error?: { code?: unknown } | null };
  if (error && !result) {
    const code = typeof error.code === 'string' ? error.code.slice(0, 40) : 'OTHER';
    throw new NwcFailure('the wallet refused', { code });
  }
  const parsed = answer.safeParse(result);
  if (parsed.success) return parsed.data;
  const fields = parsed.error.issues.map((issue) => issue.path.join('.')).join(', ');
  throw new NwcAnswerError(`the wallet's answer lacks or garbles: ${fields || 'everything'}`);
}

import { createHash } from 'node:crypto';
import { schnorr } from '@noble/curves/secp256k1.js';
import type { MessageEvent, WebSocket } from 'undici';
import type { NostrClient } from './nwc-requests.ts';
import type { RelaySockets } from './relay-socket.ts';

/** An event as relays carry it (NIP-01). */
export interface SignedEvent {
  id: string;
  pubkey: string;
  created_at: number;
  kind: number;
  tags: string[][];
  content: string;
  sig: string;
}

type Pool = NostrClient<SignedEvent>['pool'];
type Filter = Parameters<Pool['subscribe']>[1];
type Handlers = Parameters<Pool['subscribe']>[2];

interface Subscription {
  readonly filter: Filter;
  readonly handlers: Handlers;
}

/** Checking a signature costs a millisecond: a relay that sends more of what is none of ours is left. */
const MOST_EVENTS = 64;

/**
 * Connections to the relays of a wallet that a stranger chose: made when first needed, by `RelaySockets`, and never made again by
 * themselves. The library's pool cannot be used for these: it opens its sockets to whatever a name resolves to.
 */
export class RelayPool implements Pool {
  readonly #sockets: RelaySockets;
  readonly #relays = new Map<string, Relay>();

  constructor(sockets: RelaySockets) {
    this.#sockets = sockets;
  }

  subscribe(urls: string[], filter: Filter, handlers: Handlers): { close(): void } {
    const known = new Set<string>();
    const once: Handlers = {
      ...handlers,
      onevent: (event) => {
        if (known.has(event.id)) return;
        known.add(event.id);
        handlers.onevent(event);
      },
    };
    const closers = urls.map((url) => this.#relay(url).subscribe({ filter, handlers: once }));
    return { close: () => closers.forEach((close) => close()) };
  }

  publish(urls: string[], event: SignedEvent): Promise<string>[] {
    return urls.map((url) => this.#relay(url).publish(event));
  }

  close(urls: string[]): void {
    for (const url of urls) this.#relays.get(url)?.close();
  }

  #relay(url: string): Relay {
    const known = this.#relays.get(url);
    if (known && !known.closed) return known;
    const relay = new Relay(url, this.#sockets);
    this.#relays.set(url, relay);
    return relay;
  }
}

/** One connection, from its beginning to its end. */
class Relay {
  closed = false;
  readonly #url: string;
  readonly #socket: WebSocket;
  readonly #subscriptions = new Map<string, Subscription>();
  readonly #published = new Map<string, { resolve: (said: string) => void; reject: (error: Error) => void }>();
  /** What is said before the connection is there. */
  #waiting: string[] | null = [];
  #count = 0;
  #events = 0;

  constructor(url: string, sockets: RelaySockets) {
    this.#url = url;
    this.#socket = sockets.open(url);
    this.#socket.addEventListener('open', () => {
      for (const message of this.#waiting ?? []) this.#socket.send(message);
      this.#waiting = null;
      for (const { handlers } of this.#subscriptions.values()) handlers.onconnect?.(url);
    });
    this.#socket.addEventListener('message', ({ data }: MessageEvent) => {
      if (typeof data === 'string') this.#hear(data);
    });
    // An error is followed by the end, but not where there never was a connection.
    for (const end of ['error', 'close'] as const) this.#socket.addEventListener(end, () => this.close());
  }

  subscribe(subscription: Subscription): () => void {
    const id = `s${++this.#count}`;
    this.#subscriptions.set(id, subscription);
    this.#say(['REQ', id, subscription.filter]);
    return () => {
      if (this.#subscriptions.delete(id) && !this.closed) this.#say(['CLOSE', id]);
    };
  }

  publish(event: SignedEvent): Promise<string> {
    return new Promise((resolve, reject) => {
      this.#published.set(event.id, { resolve, reject });
      this.#say(['EVENT', event]);
    });
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.#waiting = null;
    this.#socket.close();
    for (const { reject } of this.#published.values()) reject(new Error('the connection to the relay has ended'));
    for (const { handlers } of this.#subscriptions.values()) handlers.ondisconnect?.(this.#url);
    this.#published.clear();
    this.#subscriptions.clear();
  }

  #say(message: unknown[]): void {
    const text = JSON.stringify(message);
    if (this.#waiting) this.#waiting.push(text);
    else if (!this.closed) this.#socket.send(text);
  }

  /** Whatever a relay says that is not what it should be is passed over. */
  #hear(data: string): void {
    let message: unknown;
    try {
      message = JSON.parse(data);
    } catch {
      return;
    }
    if (!Array.isArray(message)) return;
    const [type, id, value] = message as unknown[];
    if (typeof id !== 'string') return;
    if (type === 'EVENT') this.#hearEvent(id, value);
    else if (type === 'CLOSED') this.#subscriptions.delete(id);
    else if (type === 'OK') this.#hearVerdict(id, value === true);
  }

  #hearVerdict(id: string, isTaken: boolean): void {
    const asked = this.#published.get(id);
    this.#published.delete(id);
    if (isTaken) asked?.resolve('');
    else asked?.reject(new Error('the relay does not take the event'));
  }

  #hearEvent(id: string, value: unknown): void {
    const subscription = this.#subscriptions.get(id);
    if (!subscription) return;
    if (++this.#events > MOST_EVENTS) return this.close();
    const event = readEvent(value);
    if (event && suits(event, subscription.filter) && isGenuine(event)) subscription.handlers.onevent(event);
  }
}

const HEX_64 = /^[0-9a-f]{64}$/;

function readEvent(value: unknown): SignedEvent | null {
  const { id, pubkey, created_at, kind, tags, content, sig } = (value ?? {}) as Partial<Record<keyof SignedEvent, unknown>>;
  if (typeof id !== 'string' || typeof pubkey !== 'string' || typeof content !== 'string' || typeof sig !== 'string') return null;
  if (!HEX_64.test(id) || !HEX_64.test(pubkey) || !/^[0-9a-f]{128}$/.test(sig)) return null;
  if (!Number.isSafeInteger(created_at) || !Number.isSafeInteger(kind) || !Array.isArray(tags)) return null;
  if (!tags.every((tag) => Array.isArray(tag) && tag.every((each) => typeof each === 'string'))) return null;
  return { id, pubkey, created_at, kind, tags, content, sig } as SignedEvent;
}

/** What a relay hands on need not be what was asked for. */
function suits(event: SignedEvent, { kinds, authors, limit: _limit, ...tags }: Filter): boolean {
  if (!kinds.includes(event.kind) || !authors.includes(event.pubkey)) return false;
  return Object.entries(tags).every(([name, values]) =>
    event.tags.some(([key, value]) => `#${key}` === name && (values as string[]).includes(value ?? '')),
  );
}

/** Whether the author signed this very event (NIP-01, BIP-340). */
function isGenuine({ id, pubkey, created_at, kind, tags, content, sig }: SignedEvent): boolean {
  const bytes = JSON.stringify([0, pubkey, created_at, kind, tags, content]);
  if (createHash('sha256').update(bytes).digest('hex') !== id) return false;
  try {
    return schnorr.verify(Buffer.from(sig, 'hex'), Buffer.from(id, 'hex'), Buffer.from(pubkey, 'hex'));
  } catch {
    return false;
  }
}

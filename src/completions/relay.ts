import type { ServerResponse } from 'node:http';
import type { Lease } from '../ledger/lease.ts';
import type { UpstreamAnswer } from '../providers/provider.ts';
import { SseScanner, type SseScan, type WireChunk } from '../providers/sse.ts';
import type { Usage } from '../pricing/rate-card.ts';
import { usageFromWire } from '../pricing/usage.ts';
import { Delivered, type CountTokens } from './delivered.ts';

const TICK_MS = 2_000;
const PING_AFTER_MS = 15_000;
/** A crash may cost the house what was delivered since the last durable checkpoint: past this the stream waits for one. */
const UNCHECKPOINTED_LIMIT_MS = 10_000;
/** How long a finished answer's usage is still waited for when the client has left. */
const USAGE_GRACE_MS = 2_000;

export interface StreamRelay {
  answer: UpstreamAnswer;
  res: ServerResponse;
  /** Ends the exchange with the provider. */
  abort: () => void;
  lease: Lease;
  /** Writes the response's head; called before the first bytes go out. */
  writeHead: () => void;
  countTokens: CountTokens;
  /** Makes the delivered tokens durable; false where the hold is no longer ours. Rejects when it could not be done now. */
  checkpoint: (deliveredTokens: number) => Promise<boolean>;
  /** Keeps a copy of what is sent, for a repeat with the same Idempotency-Key. */
  keep?: ((events: Buffer) => void) | undefined;
}

export type StreamEndReason = 'complete' | 'provider_error' | 'broke_off' | 'client_gone' | 'lease_lost';

export interface StreamEnd {
  reason: StreamEndReason;
  /** Whether anything was handed on: if not, another provider may still answer. */
  started: boolean;
  usage: Usage | null;
  /** The chunk that the usage came in. */
  usageChunk: WireChunk | null;
  deliveredTokens: () => Promise<number>;
  firstByteAt: number | null;
  error?: Error | undefined;
}

/**
 * Hands a stream on to the client as it arrives, event by event, and resolves when no more will come, with everything
 * the bill needs. `[DONE]` and the usage chunk are withheld: they follow after settlement. Never rejects.
 */
export function relayStream(relay: StreamRelay): Promise<StreamEnd> {
  return new Promise((resolve) => new Relay(relay, resolve).run());
}

class Relay {
  readonly #relay: StreamRelay;
  readonly #resolve: (end: StreamEnd) => void;
  readonly #scanner = new SseScanner();
  readonly #delivered: Delivered;
  #usage: Usage | null = null;
  #usageChunk: WireChunk | null = null;
  #providerError = false;
  #firstByteAt: number | null = null;
  #lastWriteAt = 0;
  #durableAt = performance.now();
  #durableTokens = 0;
  #checkpointing = false;
  #paused = false;
  #clientGone = false;
  #ended = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(relay: StreamRelay, resolve: (end: StreamEnd) => void) {
    this.#relay = relay;
    this.#resolve = resolve;
    this.#delivered = new Delivered(relay.countTokens);
  }

  run(): void {
    const { answer, res } = this.#relay;
    this.#timer = setInterval(() => this.#tick(), TICK_MS);
    res.on('close', this.#onClose);
    res.on('drain', this.#onDrain);
    if (res.destroyed) this.#onClose();
    answer.read({
      data: (chunk) => this.#data(chunk),
      end: () => this.#finish(),
      error: (error) => this.#end(this.#clientGone ? 'client_gone' : this.#relay.lease.held() ? 'broke_off' : 'lease_lost', error),
    });
  }

  #data(chunk: Buffer): boolean {
    if (this.#ended) return true;
    if (!this.#relay.lease.held()) {
      this.#stop('lease_lost');
      return true;
    }
    let scan: SseScan;
    try {
      scan = this.#scanner.push(chunk);
    } catch (error) {
      this.#stop(this.#clientGone ? 'client_gone' : 'broke_off', error as Error);
      return true;
    }
    const flowing = this.#take(scan);
    if (scan.done) this.#end(this.#providerError ? 'provider_error' : 'complete');
    else if (this.#providerError && !this.#clientGone) this.#stop('provider_error');
    return flowing;
  }

  /** The provider ended its stream, with `[DONE]` or without. */
  #finish(): void {
    if (this.#ended) return;
    this.#take(this.#scanner.finish());
    if (this.#providerError) this.#end('provider_error');
    else this.#end(this.#usage || this.#delivered.finishing() ? 'complete' : 'broke_off');
  }

  /** Notes usage and errors, hands the events on; false asks the provider to pause. */
  #take({ forward, notable }: SseScan): boolean {
    for (const chunk of notable) {
      const usage = chunk.usage === undefined ? null : usageFromWire(chunk.usage);
      if (usage) {
        this.#usage = usage;
        this.#usageChunk = chunk;
      }
      if (typeof chunk.error === 'object' && chunk.error !== null) this.#providerError = true;
    }
    if (this.#clientGone) {
      if (this.#usage) this.#stop('client_gone');
      return true;
    }
    if (forward.length === 0) return true;
    // Nothing has gone out yet and the provider failed: another one may still answer.
    if (this.#providerError && this.#firstByteAt === null) return true;
    return this.#write(forward);
  }

  #write(events: Buffer): boolean {
    const now = performance.now();
    if (this.#firstByteAt === null) {
      this.#firstByteAt = now;
      this.#relay.writeHead();
    }
    this.#lastWriteAt = now;
    const flowing = this.#relay.res.write(events);
    this.#delivered.add(events);
    this.#relay.keep?.(events);
    if (!flowing || now - this.#durableAt > UNCHECKPOINTED_LIMIT_MS) this.#paused = true;
    return !this.#paused;
  }

  #tick(): void {
    if (!this.#relay.lease.held()) {
      this.#stop('lease_lost');
      return;
    }
    if (this.#firstByteAt === null) {
      this.#durableAt = performance.now();
      return;
    }
    if (performance.now() - this.#lastWriteAt > PING_AFTER_MS && !this.#relay.res.writableNeedDrain) {
      this.#lastWriteAt = performance.now();
      this.#relay.res.write(': ping\n\n');
    }
    void this.#checkpoint();
  }

  async #checkpoint(): Promise<void> {
    if (this.#checkpointing) return;
    this.#checkpointing = true;
    try {
      const since = performance.now();
      const tokens = await this.#delivered.tokens();
      const ours = tokens === this.#durableTokens || (await this.#relay.checkpoint(tokens));
      if (!ours) {
        this.#stop('lease_lost');
        return;
      }
      this.#durableTokens = tokens;
      this.#durableAt = since;
      this.#goOn();
    } catch {
      // The database is away or busy: the next tick tries again, and past the limit the stream waits for it.
    } finally {
      this.#checkpointing = false;
    }
  }

  #goOn(): void {
    if (!this.#paused || this.#ended || this.#relay.res.writableNeedDrain) return;
    if (performance.now() - this.#durableAt > UNCHECKPOINTED_LIMIT_MS) return;
    this.#paused = false;
    this.#relay.answer.resume();
  }

  readonly #onDrain = (): void => this.#goOn();

  readonly #onClose = (): void => {
    if (this.#ended || this.#clientGone) return;
    this.#clientGone = true;
    // After a finish reason the provider's own figures are one event away: they are worth two seconds.
    if (this.#usage || !this.#delivered.finishing()) {
      this.#stop('client_gone');
      return;
    }
    if (this.#paused) this.#relay.answer.resume();
    setTimeout(() => this.#stop('client_gone'), USAGE_GRACE_MS);
  };

  /** Ends from our side. */
  #stop(reason: StreamEndReason, error?: Error): void {
    if (this.#ended) return;
    this.#end(reason, error);
    this.#relay.abort();
  }

  #end(reason: StreamEndReason, error?: Error): void {
    if (this.#ended) return;
    this.#ended = true;
    clearInterval(this.#timer);
    this.#relay.res.off('close', this.#onClose);
    this.#relay.res.off('drain', this.#onDrain);
    // The rest of the body is read and dropped, so that the connection can serve again.
    if (this.#paused) this.#relay.answer.resume();
    this.#resolve({
      reason,
      started: this.#firstByteAt !== null,
      usage: this.#usage,
      usageChunk: this.#usageChunk,
      deliveredTokens: () => this.#delivered.tokens(),
      firstByteAt: this.#firstByteAt,
      error,
    });
  }
}

/** The whole body of an answer that is not a stream. Rejects when it breaks off. */
export function collectBody(answer: UpstreamAnswer): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    answer.read({
      data: (chunk) => {
        chunks.push(chunk);
        return true;
      },
      end: () => resolve(chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks)),
      error: reject,
    });
  });
}

import type { Lease } from '../ledger/lease.ts';
import type { UpstreamAnswer } from '../providers/provider.ts';
import { SseTooLongError } from '../wires/sse.ts';
import { mergeUsage, type ReportedUsage } from '../wires/usage.ts';
import type { EventReading, Seen, StreamReader, UsageSeen } from '../wires/wire.ts';
import type { StreamClient } from './client-stream.ts';
import { Delivered, type CountTokens } from './delivered.ts';
import { HiddenTime } from './hidden-time.ts';
import type { StreamCopy } from './stream-copy.ts';

const TICK_MS = 2_000;
/** A crash may cost the house what was delivered since the last durable checkpoint: past this the stream waits for one. */
const UNCHECKPOINTED_LIMIT_MS = 10_000;
/** How long a finished answer's usage is still waited for when the client has left. */
const USAGE_GRACE_MS = 2_000;
/** What may come before the first word: names of roles, filters' verdicts. */
const MAX_HELD_BYTES = 1024 * 1024;

export interface StreamRelay {
  answer: UpstreamAnswer;
  /** Makes of the provider's bytes what the client gets. */
  reader: StreamReader;
  /** Reads what the client gets. */
  events: EventReading;
  client: StreamClient;
  /** When the model was asked, on the monotonic clock. */
  dispatchedAt: number;
  /** Ends the exchange with the provider. */
  abort: () => void;
  lease: Lease;
  countTokens: CountTokens;
  /** Makes the delivered tokens durable; false where the hold is no longer ours. Rejects when it could not be done now. */
  checkpoint: (deliveredTokens: number) => Promise<boolean>;
  /** A copy of what is sent, for a repeat with the same Idempotency-Key. */
  copy: StreamCopy | null;
}

export type StreamEndReason = 'complete' | 'provider_error' | 'broke_off' | 'client_gone' | 'lease_lost';

export interface StreamEnd {
  reason: StreamEndReason;
  /** Whether something that a model wrote, or a finish reason, was handed on: if not, another provider may still answer. */
  delivered: boolean;
  usage: ReportedUsage | null;
  /** Whether the usage is about all that was delivered: nothing was written after it, and the answer was finished. */
  usageIsFinal: boolean;
  deliveredTokens: () => Promise<number>;
  /** How long the model worked out of sight of a client that left. */
  hiddenSeconds: number;
  deliveredAt: number | null;
  /** How long the provider was kept waiting, for a client that does not keep up or a checkpoint. */
  pausedMs: number;
  /** What the provider said of its failure. */
  failure?: unknown;
  error?: Error | undefined;
}

/** A stream on its way to the client. Neither promise rejects. */
export interface RelayedStream {
  /** Resolves once something of the answer goes out, or the stream has ended before. */
  begun: Promise<void>;
  /** Resolves when no more will come, with everything that the bill needs. */
  ended: Promise<StreamEnd>;
}

/**
 * Hands a stream on to the client as it arrives, event by event. What ends the stream, the usage that stands by itself, and an error are
 * withheld: they follow after settlement.
 */
export function relayStream(relay: StreamRelay): RelayedStream {
  let begin = (): void => {};
  const begun = new Promise<void>((resolve) => (begin = resolve));
  const ended = new Promise<StreamEnd>((resolve) => {
    new Relay(relay, begin, (end) => {
      begin();
      resolve(end);
    }).run();
  });
  return { begun, ended };
}

class Relay {
  readonly #relay: StreamRelay;
  readonly #onBegin: () => void;
  readonly #resolve: (end: StreamEnd) => void;
  readonly #delivered: Delivered;
  readonly #hidden: HiddenTime;
  #held: Buffer[] = [];
  #heldBytes = 0;
  #usage: ReportedUsage | null = null;
  #lastUsage: UsageSeen | null = null;
  #usagesAlone = 0;
  #failure: unknown;
  #deliveredAt: number | null = null;
  #durableAt = performance.now();
  #durableTokens = 0;
  #checkpointing = false;
  #paused = false;
  #clientGone = false;
  #ended = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(relay: StreamRelay, onBegin: () => void, resolve: (end: StreamEnd) => void) {
    this.#relay = relay;
    this.#onBegin = onBegin;
    this.#resolve = resolve;
    this.#delivered = new Delivered(relay.events, relay.countTokens);
    this.#hidden = new HiddenTime(relay.dispatchedAt);
  }

  run(): void {
    const { answer, client } = this.#relay;
    this.#timer = setInterval(() => this.#tick(), TICK_MS);
    client.res.on('close', this.#onClose);
    client.res.on('drain', this.#onDrain);
    if (client.res.destroyed) this.#onClose();
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
    try {
      const seen = this.#relay.reader.push(chunk);
      const flowing = this.#take(seen);
      if (this.#failure !== undefined) this.#stop(this.#clientGone ? 'client_gone' : 'provider_error');
      else if (seen.done) this.#complete(seen);
      return flowing;
    } catch (error) {
      if (!(error instanceof SseTooLongError)) throw error;
      this.#stop(this.#clientGone ? 'client_gone' : 'broke_off', error);
      return true;
    }
  }

  /** The provider ended its stream, with its wire's end marker or without. */
  #finish(): void {
    if (this.#ended) return;
    const seen = this.#relay.reader.finish();
    this.#take(seen);
    if (this.#failure !== undefined) this.#end('provider_error');
    else if (seen.done || this.#isWhole()) this.#complete(seen);
    else this.#end('broke_off');
  }

  /** An answer of no words is one too, where the events that are withheld say why it ended. */
  #complete({ done, finished = false }: Seen): void {
    if (done && finished && this.#deliveredAt === null && !this.#clientGone) this.#begin(performance.now());
    this.#end('complete');
  }

  /**
   * Without an end marker: whether all completions were finished, or the usage came by itself, and that once, after all that was written. Some tell
   * it by itself again and again.
   */
  #isWhole(): boolean {
    return this.#delivered.finished() || (this.#usagesAlone === 1 && this.#lastUsage?.alone === true && !this.#delivered.wroteAfterUsage());
  }

  /** Notes usage and errors, hands the events on; false asks the provider to pause. */
  #take({ forward, usages, failure }: Seen): boolean {
    this.#failure = failure;
    const sent = !this.#clientGone && this.#send(forward);
    let from = 0;
    for (const seen of usages) {
      if (sent) this.#delivered.add(forward.subarray(from, seen.offset));
      from = seen.offset;
      this.#noteUsage(seen);
    }
    if (sent) this.#delivered.add(forward.subarray(from));
    if (this.#clientGone && usages.length > 0) this.#stop('client_gone');
    return !this.#paused;
  }

  #noteUsage(seen: UsageSeen): void {
    if (seen.alone) this.#usagesAlone++;
    this.#usage = mergeUsage(this.#usage, seen.usage);
    this.#lastUsage = seen;
    this.#delivered.usageSeen();
  }

  /** False where the events were kept back: nothing in them, or before them, was worth delivering yet. */
  #send(events: Buffer): boolean {
    if (events.length === 0) return false;
    const now = performance.now();
    if (this.#deliveredAt === null) {
      if (!this.#relay.events.isDelivery(events)) {
        this.#hold(events);
        return false;
      }
      this.#begin(now);
    }
    this.#hidden.came(now, () => this.#relay.events.isDelivery(events));
    this.#write(events, now);
    return true;
  }

  #hold(events: Buffer): void {
    this.#heldBytes += events.length;
    if (this.#heldBytes > MAX_HELD_BYTES) this.#stop('broke_off', new SseTooLongError('the stream does not begin'));
    else this.#held.push(events);
  }

  #begin(now: number): void {
    this.#deliveredAt = now;
    this.#relay.client.delivered = true;
    this.#onBegin();
    if (this.#heldBytes === 0) return;
    const held = Buffer.concat(this.#held);
    this.#held = [];
    this.#write(held, now);
    this.#delivered.add(held);
  }

  #write(events: Buffer, now: number): void {
    const flowing = this.#relay.client.write(events);
    this.#relay.copy?.add(events);
    if (flowing && now - this.#durableAt <= UNCHECKPOINTED_LIMIT_MS) return;
    this.#paused = true;
    this.#hidden.paused(now);
  }

  #tick(): void {
    if (!this.#relay.lease.held()) this.#stop('lease_lost');
    else if (this.#deliveredAt === null) this.#durableAt = performance.now();
    else void this.#checkpoint();
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
    if (!this.#paused || this.#ended || this.#relay.client.res.writableNeedDrain) return;
    if (performance.now() - this.#durableAt > UNCHECKPOINTED_LIMIT_MS) return;
    this.#resume();
  }

  #resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.#hidden.resumed(performance.now());
    this.#relay.answer.resume();
  }

  readonly #onDrain = (): void => this.#goOn();

  readonly #onClose = (): void => {
    if (this.#ended || this.#clientGone) return;
    this.#clientGone = true;
    // After a finish reason the provider's own figures are one event away: they are worth two seconds.
    if (!this.#delivered.finishing() || (this.#usage && !this.#delivered.wroteAfterUsage())) {
      this.#stop('client_gone');
      return;
    }
    this.#resume();
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
    this.#relay.client.res.off('close', this.#onClose);
    this.#relay.client.res.off('drain', this.#onDrain);
    const isFinal = (): boolean => (reason === 'complete' || this.#delivered.finished()) && !this.#delivered.wroteAfterUsage();
    const until = (): number | null => (this.#delivered.finishing() ? null : performance.now());
    this.#resolve({
      reason,
      delivered: this.#deliveredAt !== null,
      usage: this.#usage,
      usageIsFinal: this.#usage !== null && isFinal(),
      deliveredTokens: () => this.#delivered.tokens(),
      hiddenSeconds: reason === 'client_gone' ? this.#hidden.seconds(until()) : 0,
      deliveredAt: this.#deliveredAt,
      pausedMs: this.#hidden.pausedMs(performance.now()),
      failure: this.#failure,
      error,
    });
    // The rest of the body is read and dropped, so that the connection can serve again.
    this.#resume();
  }
}

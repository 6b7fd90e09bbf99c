import type { EventReading, Progress } from '../wires/wire.ts';
import type { Written } from '../wires/written.ts';

/** Bytes kept unread before they are parsed: bounds memory, and spares most streams the parsing. */
const READ_AFTER_BYTES = 256 * 1024;
/** About what speech and pictures come to: nobody says how many tokens they are but the provider. */
const BINARY_CHARACTERS_PER_TOKEN = 1024;

export type CountTokens = (text: string) => number | Promise<number>;

/**
 * What of a completion was handed to the client, in tokens by our own count. Most streams end with the provider's
 * figures and never need it, so the counting waits until it is asked for.
 */
export class Delivered {
  readonly #events: EventReading;
  readonly #countTokens: CountTokens;
  #unread: Buffer[] = [];
  #unreadBytes = 0;
  #written: Written = { texts: [], binaryCharacters: 0 };
  #tokens = 0;
  /** How many of the unread buffers came before the provider's last figures. */
  #beforeUsage = 0;
  #wroteAfterUsage = false;
  readonly #open = new Set<unknown>();
  readonly #finished = new Set<unknown>();

  constructor(events: EventReading, countTokens: CountTokens) {
    this.#events = events;
    this.#countTokens = countTokens;
  }

  /** Notes whole events that were handed on. */
  add(events: Buffer): void {
    if (events.length === 0) return;
    this.#unread.push(events);
    this.#unreadBytes += events.length;
    if (this.#unreadBytes > READ_AFTER_BYTES) this.#read();
  }

  /** Notes that the provider told its figures: they are about what came so far. */
  usageSeen(): void {
    this.#beforeUsage = this.#unread.length;
    this.#wroteAfterUsage = false;
  }

  /** Whether more was written after the provider told its last figures. */
  wroteAfterUsage(): boolean {
    if (this.#unread.length > this.#beforeUsage) this.#read();
    return this.#wroteAfterUsage;
  }

  /** Output tokens so far. */
  async tokens(): Promise<number> {
    this.#read();
    const written = this.#written;
    this.#written = { texts: [], binaryCharacters: 0 };
    if (isSomething(written)) this.#tokens += await tokensOfWritten(written, this.#countTokens);
    return this.#tokens;
  }

  /** Whether some completion was finished: the provider's usage, if any, is about to come. */
  finishing(): boolean {
    this.#read();
    return this.#finished.size > 0;
  }

  /** Whether every completion that was begun was finished. */
  finished(): boolean {
    this.#read();
    return this.#finished.size > 0 && this.#open.size === 0;
  }

  #read(): void {
    for (const [index, events] of this.#unread.entries()) {
      const wrote = this.#readEvents(events);
      if (wrote && index >= this.#beforeUsage) this.#wroteAfterUsage = true;
    }
    this.#unread = [];
    this.#unreadBytes = 0;
    this.#beforeUsage = 0;
  }

  #readEvents(events: Buffer): boolean {
    const { texts, binaryCharacters } = this.#written;
    const before = texts.length;
    const progress: Progress = { written: this.#written, open: this.#open, finished: this.#finished };
    this.#events.read(events, progress);
    return texts.length > before || this.#written.binaryCharacters > binaryCharacters;
  }
}

/** Tokens of what a model wrote, by our own count. */
export async function tokensOfWritten({ texts, binaryCharacters }: Written, countTokens: CountTokens): Promise<number> {
  const text = texts.join('');
  return (text === '' ? 0 : await countTokens(text)) + Math.ceil(binaryCharacters / BINARY_CHARACTERS_PER_TOKEN);
}

function isSomething({ texts, binaryCharacters }: Written): boolean {
  return texts.length > 0 || binaryCharacters > 0;
}

import { parseEvents } from '../providers/sse.ts';

/** Bytes kept unread before they are parsed: bounds memory, and spares most streams the parsing. */
const READ_AFTER_BYTES = 256 * 1024;

export type CountTokens = (text: string) => number | Promise<number>;

/**
 * What of a completion was handed to the client, in tokens by our own count. Most streams end with the provider's
 * figures and never need it, so the counting waits until it is asked for.
 */
export class Delivered {
  readonly #countTokens: CountTokens;
  #unread: Buffer[] = [];
  #unreadBytes = 0;
  #texts: string[] = [];
  #tokens = 0;
  #finishReason = false;

  constructor(countTokens: CountTokens) {
    this.#countTokens = countTokens;
  }

  /** Notes whole events that were handed on. */
  add(events: Buffer): void {
    if (events.length === 0) return;
    this.#unread.push(events);
    this.#unreadBytes += events.length;
    if (this.#unreadBytes > READ_AFTER_BYTES) this.#read();
  }

  /** Output tokens so far. */
  async tokens(): Promise<number> {
    this.#read();
    const text = this.#texts.join('');
    this.#texts = [];
    if (text !== '') this.#tokens += await this.#countTokens(text);
    return this.#tokens;
  }

  /** Whether some choice was finished: the provider's usage, if any, is about to come. */
  finishing(): boolean {
    this.#read();
    return this.#finishReason;
  }

  #read(): void {
    if (this.#unreadBytes === 0) return;
    const events = this.#unread.length === 1 ? (this.#unread[0] as Buffer) : Buffer.concat(this.#unread);
    this.#unread = [];
    this.#unreadBytes = 0;
    for (const chunk of parseEvents(events)) {
      for (const choice of Array.isArray(chunk['choices']) ? (chunk['choices'] as unknown[]) : []) {
        collectText(choice, this.#texts);
        if (typeof (choice as { finish_reason?: unknown } | null)?.finish_reason === 'string') this.#finishReason = true;
      }
    }
  }
}

/** Tokens of a whole answer's choices, by the same count. */
export async function tokensOfChoices(choices: unknown, countTokens: CountTokens): Promise<number> {
  const texts: string[] = [];
  for (const choice of Array.isArray(choices) ? choices : []) collectText(choice, texts);
  return countTokens(texts.join(''));
}

const TEXT_FIELDS = ['content', 'reasoning_content', 'reasoning', 'refusal', 'text', 'arguments', 'input', 'name'] as const;

type Fields = Record<string, unknown>;

/** Everything in a choice that a model wrote: content, reasoning, refusals, tool calls. */
function collectText(choice: unknown, texts: string[]): void {
  for (const part of [choice, member(choice, 'delta'), member(choice, 'message')]) {
    collectFields(part, texts);
    collectFields(member(part, 'function_call'), texts);
    const calls = member(part, 'tool_calls');
    for (const call of Array.isArray(calls) ? (calls as unknown[]) : []) {
      collectFields(member(call, 'function'), texts);
      collectFields(member(call, 'custom'), texts);
    }
  }
}

function collectFields(part: unknown, texts: string[]): void {
  for (const field of TEXT_FIELDS) {
    const text = member(part, field);
    if (typeof text === 'string') texts.push(text);
  }
}

function member(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? (value as Fields)[name] : undefined;
}

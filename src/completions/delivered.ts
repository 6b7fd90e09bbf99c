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

const TEXT_FIELDS = ['content', 'reasoning_content', 'reasoning', 'refusal', 'text', 'arguments', 'name'] as const;

/** Everything in a choice that a model wrote: content, reasoning, refusals, tool calls. */
function collectText(value: unknown, texts: string[]): void {
  if (typeof value !== 'object' || value === null) return;
  const choice = value as Record<string, unknown>;
  for (const part of [choice, choice['delta'], choice['message']]) {
    if (typeof part !== 'object' || part === null) continue;
    for (const field of TEXT_FIELDS) {
      const text = (part as Record<string, unknown>)[field];
      if (typeof text === 'string') texts.push(text);
    }
    const calls = (part as Record<string, unknown>)['tool_calls'];
    for (const call of Array.isArray(calls) ? calls : []) collectText({ delta: (call as { function?: unknown } | null)?.function }, texts);
    collectText({ delta: (part as Record<string, unknown>)['function_call'] }, texts);
  }
}

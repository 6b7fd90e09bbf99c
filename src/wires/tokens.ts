/** OpenAI's own, or the bytes where a model's tokenizer is not known. */
export type Tokenizer = Encoding | 'bytes';
type Encoding = 'o200k_base' | 'cl100k_base';
type Count = (text: string) => number;

/** gpt-tokenizer needs quadratic time for long runs of one kind of character: never give it more than this. */
const SLICE_CHARACTERS = 256;
/** About 0.3 ms of counting; then other requests get their turn. */
const TURN_CHARACTERS = 4_096;
/** Above this the bytes are bound enough: exact counting would cost more time than the whole request. */
const EXACT_CHARACTERS = 131_072;
/** What chat templates and tools add that the body does not show. */
const TEMPLATE_TOKENS = 64;
/** How many bytes a token of an unknown tokenizer usually has. */
const USUAL_BYTES = 4;
/** How many it has where text is nothing like prose. */
const SHORT_BYTES = 3;

const counters = new Map<Encoding, Count>();

/**
 * The most prompt tokens that `text` (a request as JSON) can be counted as. Exact by OpenAI's tokenizer up to 128 KiB,
 * else its bytes, since no token is shorter than a byte. At once for small texts; a promise where counting takes turns
 * with other work, or the tokenizer is not loaded yet.
 * @param factor by how much a family without a known tokenizer counts more. Text can be written to look short to OpenAI's alone, so for
 *   such a family the bytes have a word too.
 */
export function promptTokenBound(text: string, tokenizer: Tokenizer, factor = 1): number | Promise<number> {
  if (tokenizer === 'bytes' || text.length > EXACT_CHARACTERS) return Buffer.byteLength(text) + TEMPLATE_TOKENS;
  const tokens = countExactly(text, tokenizer);
  const bound = (count: number): number =>
    TEMPLATE_TOKENS + (factor === 1 ? count : Math.max(Math.ceil(count * factor), Math.ceil(Buffer.byteLength(text) / SHORT_BYTES)));
  return typeof tokens === 'number' ? bound(tokens) : tokens.then(bound);
}

/**
 * The gateway's own count of `text` as output, for answers whose provider counted nothing. Exact for OpenAI's
 * tokenizers, else a quarter of the bytes, at least 1 for any text.
 */
export function countOutputTokens(text: string, tokenizer: Tokenizer): number | Promise<number> {
  return tokenizer === 'bytes' ? Math.ceil(Buffer.byteLength(text) / USUAL_BYTES) : countExactly(text, tokenizer);
}

/** Loads a tokenizer's tables (0.2 s, 40 MB), so that the first request does not wait for them. */
export async function loadTokenizer(tokenizer: Tokenizer): Promise<void> {
  if (tokenizer !== 'bytes') await loadCounter(tokenizer);
}

function countExactly(text: string, encoding: Encoding): number | Promise<number> {
  const count = counters.get(encoding);
  return count && text.length <= TURN_CHARACTERS ? countSlices(text, 0, text.length, count) : countInTurns(text, encoding);
}

async function countInTurns(text: string, encoding: Encoding): Promise<number> {
  const count = counters.get(encoding) ?? (await loadCounter(encoding));
  let tokens = 0;
  for (let from = 0; from < text.length; from += TURN_CHARACTERS) {
    if (from > 0) await new Promise(setImmediate);
    tokens += countSlices(text, from, Math.min(from + TURN_CHARACTERS, text.length), count);
  }
  return tokens;
}

function countSlices(text: string, from: number, to: number, count: Count): number {
  let tokens = 0;
  for (let at = from; at < to; at += SLICE_CHARACTERS) tokens += count(text.slice(at, Math.min(at + SLICE_CHARACTERS, to)));
  return tokens;
}

async function loadCounter(encoding: Encoding): Promise<Count> {
  const { countTokens } =
    encoding === 'o200k_base' ? await import('gpt-tokenizer/encoding/o200k_base') : await import('gpt-tokenizer/encoding/cl100k_base');
  // Clients may write <|endoftext|>: it is text to them, and the default is to throw.
  const plain = { allowedSpecial: new Set<string>(), disallowedSpecial: new Set<string>() };
  const count: Count = (text) => countTokens(text, plain);
  counters.set(encoding, count);
  return count;
}

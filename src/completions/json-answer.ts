import { collectBody } from '../providers/collect-body.ts';
import { ProviderError } from '../providers/provider-error.ts';
import type { UpstreamAnswer } from '../providers/provider.ts';
import type { Candidate } from '../routing/candidate.ts';
import { parseExactJson, type ExactJson } from '../wires/exact-json.ts';
import { jsonExtent, type JsonExtent } from '../wires/json-extent.ts';
import type { InferenceRequest } from '../wires/request.ts';
import type { AnswerRead, JsonObject } from '../wires/wire.ts';

/** Deeper than any answer, and far from what a recursive writer of JSON could choke on. */
const MOST_DEPTH = 512;
/** Of an answer with more (the log probabilities of a long one are millions) no number is kept in its own words: that would take seconds. */
const MOST_EXACT_VALUES = 100_000;
const JSON_TYPE = /^application\/(?:[\w.+-]+\+)?json\b/i;
/** Types that say nothing: the body itself decides. */
const ANY_TYPE = /^(?:$|(?:application|binary)\/octet-stream\b|text\/plain\b)/i;

const utf8 = new TextDecoder();

/** A JSON answer: what it says, and the same to be passed on with its numbers as they were written. */
export interface JsonAnswer {
  readonly read: AnswerRead;
  readonly verbatim: JsonObject;
  /** On the monotonic clock. */
  readonly firstByteAt: number;
}

/** Reads a JSON answer, or the failure that it tells of instead. Rejects with ProviderError for anything that is no answer. */
export async function readJsonAnswer(
  { upstream }: Candidate,
  answer: UpstreamAnswer,
  request: InferenceRequest,
): Promise<JsonAnswer | { failure: unknown }> {
  const firstByteAt = performance.now();
  const type = String(answer.headers['content-type'] ?? '').trim();
  if (!JSON_TYPE.test(type) && !ANY_TYPE.test(type)) throw new ProviderError('protocol', 'the answer is not JSON');
  const { value, verbatim } = parse(await collectBody(answer));
  const read = upstream.read(value, request);
  if (read.failure !== undefined) return { failure: read.failure };
  if (!read.isAnswer) throw new ProviderError('protocol', 'the answer is not a completion');
  return { read, verbatim: verbatim as JsonObject, firstByteAt };
}

function parse(bytes: Buffer): ExactJson {
  const { depth, values, longNumbers } = extentOf(bytes);
  if (depth > MOST_DEPTH) throw new ProviderError('protocol', 'the answer is nested too deep');
  try {
    // A byte order mark may begin it.
    return parseExactJson(utf8.decode(bytes), longNumbers > 0 && values <= MOST_EXACT_VALUES);
  } catch (error) {
    throw new ProviderError('protocol', 'the answer is not JSON', error);
  }
}

function extentOf(answer: Buffer): JsonExtent {
  return jsonExtent(answer, { values: Infinity, names: 0, depth: MOST_DEPTH, longNumbers: Infinity });
}

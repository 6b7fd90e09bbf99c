import { describe, expect, it } from '@jest/globals';
import { reportedUsageOf } from '../../../src/wires/openai-chat/usage.ts';
import { mergeUsage as mergeBuckets, promptTokensOf, wireCount, type ReportedUsage as Buckets } from '../../../src/wires/usage.ts';

/** A usage as the wire tells it: the cached tokens are part of the prompt. */
interface ReportedUsage {
  promptTokens: number | null;
  completionTokens: number | null;
  cachedTokens: number;
  cacheWriteTokens: number;
  reasoningTokens: number;
}

function inWiresTerms(usage: Buckets | null): ReportedUsage | null {
  if (!usage) return null;
  const { input, output, cacheRead, cacheWrite, reasoning } = usage;
  return {
    promptTokens: input === null ? null : promptTokensOf({ ...usage, input }),
    completionTokens: output,
    cachedTokens: cacheRead,
    cacheWriteTokens: cacheWrite,
    reasoningTokens: reasoning,
  };
}

function inBuckets({ promptTokens, completionTokens, cachedTokens, cacheWriteTokens, reasoningTokens }: ReportedUsage): Buckets {
  return {
    input: promptTokens === null ? null : promptTokens - cachedTokens - cacheWriteTokens,
    output: completionTokens,
    cacheRead: cachedTokens,
    cacheWrite: cacheWriteTokens,
    cacheWriteLong: 0,
    reasoning: reasoningTokens,
  };
}

const usageFromWire = (value: unknown): ReportedUsage | null => inWiresTerms(reportedUsageOf(value));
const mergeUsage = (before: ReportedUsage | null, after: ReportedUsage): ReportedUsage | null =>
  inWiresTerms(mergeBuckets(before && inBuckets(before), inBuckets(after)));

const good = { prompt_tokens: 10, completion_tokens: 5, total_tokens: 15 };
const NONE = { prompt_tokens: undefined, completion_tokens: undefined };
const plain: ReportedUsage = { promptTokens: 10, completionTokens: 5, cachedTokens: 0, cacheWriteTokens: 0, reasoningTokens: 0 };

describe('usage from the wire', () => {
  it.each([
    ["OpenAI's words", { prompt_tokens_details: { cache_write_tokens: 6, cache_write_tokens_details: { ttl_12h_tokens: 4 } } }],
    ["Anthropic's words", { cache_creation_input_tokens: 6, cache_creation: { ephemeral_1h_input_tokens: 4 } }],
    [
      "a translator's words",
      { cache_creation_input_tokens: 6, prompt_tokens_details: { cache_creation_token_details: { ephemeral_1h_input_tokens: 4 } } },
    ],
  ])('tells what was cached for long, in %s', (_whose, told) => {
    expect(reportedUsageOf({ ...good, ...told })).toMatchObject({ input: 4, cacheRead: 0, cacheWrite: 2, cacheWriteLong: 4, output: 5 });
  });

  it('takes no more for cached for long than was cached at all', () => {
    const told = { cache_creation_input_tokens: 3, cache_creation: { ephemeral_1h_input_tokens: 400 } };
    expect(reportedUsageOf({ ...good, ...told })).toMatchObject({ input: 7, cacheWrite: 0, cacheWriteLong: 3 });
  });

  it('is read with its details', () => {
    const wire = {
      ...good,
      prompt_tokens_details: { cached_tokens: 4, cache_write_tokens: 2, audio_tokens: 0 },
      completion_tokens_details: { reasoning_tokens: 3, accepted_prediction_tokens: 0 },
    };
    expect(usageFromWire(wire)).toEqual({ ...plain, cachedTokens: 4, cacheWriteTokens: 2, reasoningTokens: 3 });
  });

  const DIALECTS: [name: string, wire: object, usage: Partial<ReportedUsage>][] = [
    ['without details', {}, {}],
    ['with null details', { prompt_tokens_details: null, completion_tokens_details: null }, {}],
    ['with null in details', { prompt_tokens_details: { cached_tokens: null } }, {}],
    ['of PHP, whose empty object is a list', { prompt_tokens_details: [], completion_tokens_details: [] }, {}],
    ['without a total', { total_tokens: undefined }, {}],
    ['with a total below its parts', { total_tokens: 3 }, {}],
    ['in digits', { prompt_tokens: '10', completion_tokens: '5', total_tokens: '15' }, {}],
    ['in digits with a point', { prompt_tokens: '10.0', completion_tokens: '5.00' }, {}],
    ['of DeepSeek', { prompt_cache_hit_tokens: 4, prompt_cache_miss_tokens: 6 }, { cachedTokens: 4 }],
    [
      'of DeepSeek, its sum left out',
      { prompt_tokens: null, prompt_cache_hit_tokens: 4, prompt_cache_miss_tokens: 6 },
      { cachedTokens: 4 },
    ],
    [
      'under the names of Responses',
      { ...NONE, input_tokens: 10, output_tokens: 5, output_tokens_details: { reasoning_tokens: 3 } },
      { reasoningTokens: 3 },
    ],
    ['under both names, of which the chat wire’s count', { input_tokens: 1, output_tokens: 1 }, {}],
    [
      'of Anthropic, whose cache is beside the input',
      { ...NONE, total_tokens: null, input_tokens: 10, output_tokens: 5, cache_read_input_tokens: 40, cache_creation_input_tokens: 5 },
      { promptTokens: 55, cachedTokens: 40, cacheWriteTokens: 5 },
    ],
    ['of Moonshot', { cached_tokens: 8 }, { cachedTokens: 8 }],
    ['of Moonshot behind a translator', { cached_tokens: 8, prompt_tokens_details: { cached_tokens: 0 } }, { cachedTokens: 8 }],
    [
      'of xAI: reasoning on top',
      { total_tokens: 40, completion_tokens_details: { reasoning_tokens: 25 } },
      { completionTokens: 30, reasoningTokens: 25 },
    ],
    ['of Gemini: reasoning in the total alone', { total_tokens: 40 }, { completionTokens: 30, reasoningTokens: 25 }],
    [
      'with more reasoning than completion and no total',
      { total_tokens: null, completion_tokens_details: { reasoning_tokens: 500 } },
      { completionTokens: 505, reasoningTokens: 500 },
    ],
    [
      'with more reasoning than completion and a total that leaves it out',
      { completion_tokens_details: { reasoning_tokens: 500 } },
      { completionTokens: 505, reasoningTokens: 500 },
    ],
    ['with reasoning at the top', { reasoning_tokens: 3 }, { reasoningTokens: 3 }],
    ['with the cache beside the prompt', { total_tokens: 55, cache_read_input_tokens: 40 }, { promptTokens: 50, cachedTokens: 40 }],
    [
      'with what was read and written beside the prompt',
      { total_tokens: 60, cache_read_input_tokens: 40, cache_creation_input_tokens: 5 },
      { promptTokens: 55, cachedTokens: 40, cacheWriteTokens: 5 },
    ],
    ['with a prompt of nothing, whose total tells nothing', { prompt_tokens: 0 }, { promptTokens: 0 }],
    ['with a prompt that is in the total alone', { prompt_tokens: null }, {}],
    ['with a completion that is in the total alone', { completion_tokens: null }, {}],
  ];

  it.each(DIALECTS)('%s is understood', (_name, members, usage) => {
    expect(usageFromWire({ ...good, ...members })).toEqual({ ...plain, ...usage });
  });

  it('of a public report comes to what xAI charged', () => {
    const wire = {
      prompt_tokens: 10_120,
      completion_tokens: 1_499,
      total_tokens: 14_428,
      completion_tokens_details: { reasoning_tokens: 2_809 },
    };
    expect(usageFromWire(wire)).toMatchObject({ promptTokens: 10_120, completionTokens: 1_499 + 2_809, reasoningTokens: 2_809 });
  });

  it('never counts a token both as read from and as written to the cache', () => {
    const wire = { ...good, prompt_tokens_details: { cached_tokens: 8, cache_write_tokens: 8 } };
    expect(usageFromWire(wire)).toMatchObject({ cachedTokens: 8, cacheWriteTokens: 2 });
  });

  const NONSENSE = [-1, 1.5, 1e12, Number.NaN, Infinity, 'five', '-5', '1e3', '', null, true, {}, []];

  it.each(NONSENSE)('leaves %j out, wherever it stands, and keeps the rest', (nonsense) => {
    const alone = { prompt_tokens: 10, completion_tokens: 5 };
    expect(usageFromWire({ ...alone, prompt_tokens: nonsense })).toEqual({ ...plain, promptTokens: null });
    expect(usageFromWire({ ...alone, completion_tokens: nonsense })).toEqual({ ...plain, completionTokens: null });
    expect(usageFromWire({ ...good, total_tokens: nonsense })).toEqual(plain);
    expect(usageFromWire({ ...good, prompt_tokens_details: { cached_tokens: nonsense, cache_write_tokens: nonsense } })).toEqual(plain);
    expect(usageFromWire({ ...good, completion_tokens_details: { reasoning_tokens: nonsense } })).toEqual(plain);
    expect(usageFromWire({ ...good, prompt_tokens_details: nonsense, completion_tokens_details: nonsense })).toEqual(plain);
    expect(usageFromWire({ ...good, cached_tokens: nonsense, prompt_cache_hit_tokens: nonsense, reasoning_tokens: nonsense })).toEqual(
      plain,
    );
    expect(usageFromWire({ prompt_tokens: nonsense, completion_tokens: nonsense })).toBeNull();
  });

  it('takes no more from the cache than was sent', () => {
    expect(usageFromWire({ ...good, prompt_tokens_details: { cached_tokens: 11 } })).toEqual(plain);
  });

  it.each([[undefined], [null], ['15'], [15], [[]], [{}], [{ total_tokens: 15 }]])('is none at all in %j', (wire) => {
    expect(usageFromWire(wire)).toBeNull();
  });
});

describe('usage that comes more than once', () => {
  const later = { ...plain, promptTokens: 20, completionTokens: 50, cachedTokens: 4, reasoningTokens: 9 };

  it.each<[string, ReportedUsage | null, ReportedUsage, ReportedUsage]>([
    ['the first counts as long as it is alone', null, plain, plain],
    ['the later figures count', plain, later, later],
    ['but for a prompt that they leave out', plain, { ...later, promptTokens: null }, { ...later, promptTokens: 10, cachedTokens: 0 }],
    ['or give as nothing', later, { ...plain, promptTokens: 0 }, { ...plain, promptTokens: 20, cachedTokens: 4 }],
    ['and the same for the output', later, { ...plain, completionTokens: 0 }, { ...plain, completionTokens: 50, reasoningTokens: 9 }],
    [
      'nothing is better than no figure',
      { ...plain, completionTokens: null },
      { ...plain, completionTokens: 0 },
      { ...plain, completionTokens: 0 },
    ],
  ])('%s', (_name, before, after, merged) => {
    expect(mergeUsage(before, after)).toEqual(merged);
  });
});

describe('a count on the wire', () => {
  it.each([
    [0, 0],
    [7, 7],
    ['7', 7],
    ['007', 7],
    [1_000_000_000, 1_000_000_000],
    [1_000_000_001, null],
    ['99999999999999999999', null],
  ])('%j is %j', (value, count) => {
    expect(wireCount(value)).toBe(count);
  });
});

describe('usage in disjoint buckets', () => {
  it.each([
    ['nothing', {}, null],
    ['all of it', { ...good, prompt_tokens_details: { cached_tokens: 4, cache_write_tokens: 2 } }, [4, 4, 2, 5]],
    ['no prompt', { completion_tokens: 5, prompt_cache_hit_tokens: 3 }, [null, 0, 0, 5]],
    ['no completion', { prompt_tokens: 10, cached_tokens: 10 }, [0, 10, 0, null]],
  ])('%s', (_name, wire, wanted) => {
    const usage = reportedUsageOf(wire);
    expect(usage && [usage.input, usage.cacheRead, usage.cacheWrite, usage.output]).toEqual(wanted);
  });
});

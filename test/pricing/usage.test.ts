import { describe, expect, it } from '@jest/globals';
import { usageFromWire } from '../../src/pricing/usage.ts';

const good = { prompt_tokens: 10, completion_tokens: 5, total_tokens: 15 };

describe('usage from the wire', () => {
  it('is read with its details', () => {
    const wire = {
      ...good,
      prompt_tokens_details: { cached_tokens: 4, cache_write_tokens: 2, audio_tokens: 0 },
      completion_tokens_details: { reasoning_tokens: 3, accepted_prediction_tokens: 0 },
    };
    expect(usageFromWire(wire)).toEqual({
      promptTokens: 10,
      completionTokens: 5,
      cachedTokens: 4,
      cacheWriteTokens: 2,
      reasoningTokens: 3,
    });
  });

  it.each([[{}], [{ prompt_tokens_details: null, completion_tokens_details: null }], [{ prompt_tokens_details: { cached_tokens: null } }]])(
    'takes missing details as none: %j',
    (details) => {
      expect(usageFromWire({ ...good, ...details })).toEqual({
        promptTokens: 10,
        completionTokens: 5,
        cachedTokens: 0,
        cacheWriteTokens: 0,
        reasoningTokens: 0,
      });
    },
  );

  it('never counts a token both as read from and as written to the cache', () => {
    const wire = { ...good, prompt_tokens_details: { cached_tokens: 8, cache_write_tokens: 8 } };
    expect(usageFromWire(wire)).toMatchObject({ cachedTokens: 8, cacheWriteTokens: 2 });
  });

  it.each([
    [undefined],
    [null],
    ['15'],
    [[]],
    [{}],
    [{ prompt_tokens: 10 }],
    [{ ...good, prompt_tokens: -1 }],
    [{ ...good, completion_tokens: -5 }],
    [{ ...good, completion_tokens: 1.5 }],
    [{ ...good, completion_tokens: '5' }],
    [{ ...good, completion_tokens: 1e12 }],
    [{ ...good, completion_tokens: Number.NaN }],
    [{ ...good, prompt_tokens_details: { cached_tokens: -1 } }],
    [{ ...good, prompt_tokens_details: { cached_tokens: 11 } }],
    [{ ...good, completion_tokens_details: { reasoning_tokens: -1 } }],
  ])('is none at all where any of it is nonsense: %j', (wire) => {
    expect(usageFromWire(wire)).toBeNull();
  });
});

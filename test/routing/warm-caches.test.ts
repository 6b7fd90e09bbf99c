import { beforeEach, describe, expect, it } from '@jest/globals';
import { WarmCaches } from '../../src/routing/warm-caches.ts';
import { NO_FACTS, type Facts, type InferenceRequest } from '../../src/wires/request.ts';
import { ZERO_USAGE, type Usage } from '../../src/wires/usage.ts';
import { requestOf } from '../support/inference-request.ts';

const MINUTE_MS = 60_000;
const LONG_PROMPT: Usage = { ...ZERO_USAGE, input: 1_024, output: 5 };

let now: number;
let caches: WarmCaches;

beforeEach(() => {
  now = 1_000;
  caches = new WarmCaches({ now: () => now });
});

const request = (facts: Partial<Facts> = {}, members: Partial<InferenceRequest> = {}): InferenceRequest =>
  requestOf({}, { model: 'auto', facts: () => ({ ...NO_FACTS, system: 'Be brief.', opening: 'Hello.', ...facts }), ...members });

const answered = (asked: InferenceRequest, deploymentId: string, { usage = LONG_PROMPT, cachesLong = false, account = 'alice' } = {}) =>
  caches.answered(account, asked, { deploymentId, usage, cachesLong });

describe('a conversation', () => {
  it('is known again by its instructions and its first message, whatever came since', () => {
    answered(request({ asked: 'Hello.', turns: 1 }), 'a/1');
    expect(caches.warmFor('alice', request({ asked: 'And then?', turns: 7, hasTools: true }))).toBe('a/1');
  });

  it.each<[what: string, other: InferenceRequest]>([
    ['instructions', request({ system: 'Be long.' })],
    ['a first message', request({ opening: 'Goodbye.' })],
    ['a border between the two', request({ system: 'Be brief.Hello', opening: '.' })],
    ['a model', request({}, { model: 'pureai/fake' })],
    ['a cache key', request({ cacheKey: 'mine' })],
  ])('is another one with another of these: %s', (_what, other) => {
    answered(request(), 'a/1');
    expect(caches.warmFor('alice', other)).toBeNull();
    answered(other, 'b/1');
    expect([caches.warmFor('alice', request()), caches.warmFor('alice', other)]).toEqual(['a/1', 'b/1']);
  });

  it('is known by its own key alone where it has one', () => {
    answered(request({ cacheKey: 'mine' }), 'a/1');
    expect(caches.warmFor('alice', request({ cacheKey: 'mine', system: 'Anything.', opening: 'Else.' }))).toBe('a/1');
    expect(caches.warmFor('alice', request({ cacheKey: 'yours' }))).toBeNull();
  });

  it('is one account’s: another account with the same words knows nothing of it', () => {
    answered(request({ cacheKey: 'mine' }), 'a/1');
    answered(request(), 'a/1');
    expect([caches.warmFor('bob', request({ cacheKey: 'mine' })), caches.warmFor('bob', request())]).toEqual([null, null]);
  });

  it('is never one about vectors', () => {
    const embed = request({ cacheKey: 'mine' }, { operation: 'embed' });
    answered(embed, 'a/1');
    expect(caches.warmFor('alice', embed)).toBeNull();
  });

  it('costs the same to know however long its texts are, and differs by their lengths beyond what is read', () => {
    const long = 'x'.repeat(1_000_000);
    answered(request({ system: long }), 'a/1');
    expect(caches.warmFor('alice', request({ system: long }))).toBe('a/1');
    expect(caches.warmFor('alice', request({ system: `${long}x` }))).toBeNull();
  });
});

describe('a prompt', () => {
  it.each<[what: string, usage: Usage, facts: Partial<Facts>, pinned: boolean]>([
    ['of 1,023 tokens', { ...ZERO_USAGE, input: 1_023, output: 9_999 }, {}, false],
    ['of 1,024 tokens', LONG_PROMPT, {}, true],
    ['read from a cache', { ...ZERO_USAGE, input: 10, cacheRead: 1 }, {}, true],
    ['written to a cache', { ...ZERO_USAGE, input: 10, cacheWrite: 1 }, {}, true],
    ['written to a cache for an hour', { ...ZERO_USAGE, input: 10, cacheWriteLong: 1 }, {}, true],
    ['of 10 tokens under a key of its own', { ...ZERO_USAGE, input: 10 }, { cacheKey: 'mine' }, true],
    ['of 10 tokens', { ...ZERO_USAGE, input: 10 }, {}, false],
  ])('%s keeps its deployment, or goes wherever there is room: %j', (_what, usage, facts, pinned) => {
    answered(request(facts), 'a/1', { usage });
    expect(caches.warmFor('alice', request(facts))).toBe(pinned ? 'a/1' : null);
  });
});

describe('a warm cache', () => {
  it.each([
    [false, 5 * MINUTE_MS],
    [true, 60 * MINUTE_MS],
  ])('lasts from the last answer on (long: %s)', (cachesLong, keptMs) => {
    answered(request(), 'a/1', { cachesLong });
    now += keptMs - 1;
    answered(request(), 'a/1', { cachesLong });
    now += keptMs - 1;
    expect(caches.warmFor('alice', request())).toBe('a/1');
    now += 1;
    expect(caches.warmFor('alice', request())).toBeNull();
  });

  it('of an hour is not shortened by a turn that asks for less', () => {
    answered(request(), 'a/1', { cachesLong: true });
    answered(request(), 'a/1');
    now += 59 * MINUTE_MS;
    expect(caches.warmFor('alice', request())).toBe('a/1');
  });

  it('stays where it is when turns side by side are answered elsewhere too', () => {
    for (const id of ['b/1', 'a/1', 'c/1', 'a/1']) answered(request(), id);
    expect(caches.warmFor('alice', request())).toBe('b/1');
  });

  it('is kept no longer for what others answered, and then moves', () => {
    answered(request(), 'a/1');
    now += 5 * MINUTE_MS - 1;
    answered(request(), 'b/1');
    now += 1;
    expect(caches.warmFor('alice', request())).toBeNull();
    answered(request(), 'b/1');
    expect(caches.warmFor('alice', request())).toBe('b/1');
  });

  it('is forgotten when its deployment gave no answer, and taken over by the one that did', () => {
    answered(request(), 'a/1');
    caches.failed('alice', request(), ['b/1']);
    caches.failed('bob', request(), ['a/1']);
    caches.failed('alice', request(), []);
    expect(caches.warmFor('alice', request())).toBe('a/1');
    caches.failed('alice', request(), ['c/1', 'a/1']);
    expect(caches.warmFor('alice', request())).toBeNull();
    answered(request(), 'b/1');
    expect(caches.warmFor('alice', request())).toBe('b/1');
  });

  it('is one of a limited number: those answered longest ago go first', () => {
    caches = new WarmCaches({ now: () => now, most: 3 });
    const numbered = (number: number) => request({ opening: `Number ${number}.` });
    for (const number of [1, 2, 3, 1, 4]) answered(numbered(number), 'a/1');
    expect([1, 2, 3, 4].filter((number) => caches.warmFor('alice', numbered(number)) !== null)).toEqual([1, 3, 4]);
  });
});

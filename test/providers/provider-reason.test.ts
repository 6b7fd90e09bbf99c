import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { providerFailure } from '../../src/providers/provider-failure.ts';
import { providerReason, refusalError, streamFailure } from '../../src/providers/provider-reason.ts';

const refusal = (body: unknown): Record<string, unknown> => {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  return refusalError(400, text, true).error.error;
};
const failure = (status: number, body: unknown, headers: Record<string, string> = {}) =>
  providerFailure({ status, headers, read: () => {}, resume: () => {} }, typeof body === 'string' ? body : JSON.stringify(body));

const TOO_LONG = "This model's maximum context length is 8192 tokens.";
const OURS = { type: 'invalid_request_error', code: 'invalid_request', param: null };

describe('the body of a refusal', () => {
  it.each<[string, unknown, Record<string, unknown>]>([
    [
      'vLLM’s object',
      { object: 'error', message: TOO_LONG, type: 'BadRequestError', param: null, code: 400 },
      { message: TOO_LONG, type: 'BadRequestError', code: 400, param: null },
    ],
    ['FastAPI’s text', { detail: TOO_LONG }, { ...OURS, message: TOO_LONG }],
    [
      'FastAPI’s list',
      { detail: [{ type: 'missing', loc: ['body', 'messages', 0, 'content'], msg: 'Field required', input: { secret: 1 } }, { msg: 'x' }] },
      { message: 'messages.0.content: Field required', type: 'missing', code: 'invalid_request', param: 'messages.0.content' },
    ],
    [
      'Gemini’s list',
      [{ error: { code: 400, message: TOO_LONG, status: 'INVALID_ARGUMENT' } }],
      { message: TOO_LONG, type: 'INVALID_ARGUMENT', code: 400, param: null },
    ],
    ['an error that is text', { error: 'model "x" not found' }, { ...OURS, message: 'model "x" not found' }],
    ['an error beside its type', { error: TOO_LONG, error_type: 'validation' }, { ...OURS, message: TOO_LONG, type: 'validation' }],
    [
      'a message that holds a detail',
      { object: 'error', message: { detail: [{ type: 'x', loc: ['body', 'tools'], msg: 'bad schema' }] }, code: '1' },
      { message: 'tools: bad schema', type: 'x', code: '1', param: 'tools' },
    ],
    [
      'problem details',
      { type: 'about:blank', title: 'Bad', detail: TOO_LONG, status: 400 },
      { ...OURS, message: TOO_LONG, type: 'about:blank' },
    ],
    ['a list of errors', { success: false, errors: [{ code: 7003, message: 'No route' }] }, { ...OURS, message: 'No route', code: 7003 }],
    ['a gateway’s fault', { fault: { faultstring: 'Quota', detail: { errorcode: 'x' } } }, { ...OURS, message: 'Quota' }],
    ['an error without a message', { error: { type: 'bad' } }, { ...OURS, message: 'The provider refused the request (HTTP 400).' }],
    ['an event', 'event: error\ndata: {"message":"no such tool"}\n\n', { ...OURS, message: 'no such tool' }],
    ['text', '  maximum context\n length  ', { ...OURS, message: 'maximum context length' }],
    ['a JSON string', '"too long"', { ...OURS, message: 'too long' }],
    [
      'a page',
      '<!DOCTYPE html><html><head><style>p{color:red}</style></head><body><h1>413 Too Large</h1><p>nginx</p><script>evil()</script></body></html>',
      { ...OURS, message: '413 Too Large nginx' },
    ],
    ['a page without words', '<html></html>', { ...OURS, message: 'The provider refused the request (HTTP 400).' }],
    ['nothing', '', { ...OURS, message: 'The provider refused the request (HTTP 400).' }],
    ['no text', '\u001f\ufffd\u0008\0\0', { ...OURS, message: 'The provider refused the request (HTTP 400).' }],
    ['null', 'null', { ...OURS, message: 'The provider refused the request (HTTP 400).' }],
    ['a number', '42', { ...OURS, message: 'The provider refused the request (HTTP 400).' }],
  ])('is an error object, made of %s', (_what, body, expected) => {
    expect(refusal(body)).toEqual(expected);
  });

  it('is known to be one already', () => {
    const text = '{ "error": {"message":"Too long.","type":"t","param":"messages","code":null,"extra":[1e2]},\n"request_id":"r" }';
    expect(refusalError(400, text, true)).toEqual({ isWhole: true, error: JSON.parse(text) });
  });

  it('is cut, never within a character', () => {
    for (const body of [
      `a${'😀'.repeat(5_000)}`,
      { detail: 'x'.repeat(50_000) },
      { error: { message: 'y'.repeat(50_000), type: 't'.repeat(9_999) } },
    ]) {
      const { message, type } = refusal(body) as { message: string; type: string };
      expect([message.length, type.length].every((length) => length <= 500)).toBe(true);
      expect(message).toMatch(/…$/);
      expect(message.isWellFormed()).toBe(true);
    }
  });

  it('is an error object whatever came', () => {
    const text = fc.oneof(fc.string({ unit: 'binary' }), fc.json());
    fc.assert(
      fc.property(text, fc.boolean(), (body, isOfSameWire) => {
        const { error } = refusalError(422, body, isOfSameWire).error;
        expect(typeof error['message']).toBe('string');
        expect(error['message']).not.toBe('');
      }),
      { numRuns: 1_000 },
    );
  });

  it('is read in bounded time, however deep', () => {
    expect(providerReason('{"error":'.repeat(100_000) + '"x"' + '}'.repeat(100_000))).toBeNull();
    expect(providerReason(`<html>${'<script'.repeat(200_000)}`)).toBeNull();
  });
});

describe('what a client of another wire is told', () => {
  const gemini = (code: number, status: string) => ({ error: { code, message: TOO_LONG, status, details: [{ reason: 'x' }] } });

  it.each<[string, unknown, Record<string, unknown>]>([
    [
      'Anthropic’s refusal',
      { type: 'error', error: { type: 'invalid_request_error', message: TOO_LONG }, request_id: 'req_1' },
      { ...OURS, message: TOO_LONG },
    ],
    ['Gemini’s refusal', gemini(400, 'INVALID_ARGUMENT'), { ...OURS, message: TOO_LONG, code: 'INVALID_ARGUMENT' }],
    [
      'a number as a code',
      { message: TOO_LONG, type: 'BadRequestError', code: 400 },
      { ...OURS, message: TOO_LONG, type: 'BadRequestError', code: '400' },
    ],
    [
      'OpenAI’s refusal',
      { error: { message: TOO_LONG, type: 'invalid_request_error', param: 'messages', code: 'context_length_exceeded', extra: 1 } },
      { message: TOO_LONG, type: 'invalid_request_error', param: 'messages', code: 'context_length_exceeded' },
    ],
  ])('of %s', (_what, body, expected) => {
    expect(refusalError(400, JSON.stringify(body), false)).toEqual({ isWhole: false, error: { error: expected } });
  });

  it.each([
    [429, 'RESOURCE_EXHAUSTED', 'rate_limit_error'],
    [503, 'UNAVAILABLE', 'api_error'],
    [403, 'PERMISSION_DENIED', 'permission_error'],
  ])('of a stream that Gemini breaks off with %i', (code, status, type) => {
    const { error } = streamFailure(gemini(code, status), false, (text) => text);
    expect(error).toEqual({ message: TOO_LONG, type, code: status, param: null });
  });
});

describe('a failure', () => {
  it.each([
    [429, { error: { message: 'Slow down.' } }, 'Slow down.'],
    [500, { detail: 'CUDA out of memory' }, 'CUDA out of memory'],
    [503, 'upstream connect error', 'upstream connect error'],
    [500, 'http://10.0.0.5:8000/v1 did not answer, nor db.internal or localhost:5432', '… did not answer, nor … or …'],
    [500, 'bad key sk-proj-abcdef123456 of org-Abc123XYZ at 10.1.2.3', 'bad key … of … at …'],
    [500, '', null],
    [401, { error: { message: 'Bad key.' } }, null],
    [402, { error: { message: 'Pay us.' } }, null],
    [403, { error: { message: 'Not here.' } }, null],
    [404, { error: { message: 'No model.' } }, null],
    [429, { error: { message: 'You exceeded your quota.', type: 'insufficient_quota' } }, null],
    [302, 'Moved to http://elsewhere', null],
  ])('with HTTP %i and %j tells clients %j', (status, body, words) => {
    const operatorsFault = [401, 402, 403, 404].includes(status) || JSON.stringify(body).includes('insufficient_quota');
    expect(failure(status, body)).toEqual({ reason: `HTTP ${status}`, words, operatorsFault, retryAfterSeconds: null });
  });

  it.each<[Record<string, string>, string, number | null]>([
    [{ 'retry-after': '7' }, '', 7],
    [{ 'retry-after': '0' }, '', 1],
    [{ 'retry-after': '1.2' }, '', 2],
    [{ 'retry-after': '9999999' }, '', 86_400],
    [{ 'retry-after': '-5' }, '', null],
    [{ 'retry-after': 'soon' }, '', null],
    [{ 'retry-after': 'Wed, 21 Oct 2015 07:28:00 GMT' }, '', 1],
    [{ 'retry-after': new Date(Date.now() + 2 * 86_400_000).toUTCString() }, '', 86_400],
    [{ 'retry-after-ms': '1500', 'retry-after': '60' }, '', 2],
    [{}, '[{"error":{"message":"x","details":[{"retryDelay":"34.4s"}]}}]', 35],
    [{}, '', null],
  ])('with %j %s asks to wait %j s', (headers, body, seconds) => {
    expect(failure(429, body, headers).retryAfterSeconds).toBe(seconds);
  });
});

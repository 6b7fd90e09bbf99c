import { afterEach, describe, expect, it, jest } from '@jest/globals';
import { jsonExtent } from '../../src/wires/json-extent.ts';
import { parseJson } from '../../src/wires/parse-json.ts';
import { GatewayError } from '../../src/errors.ts';

const MEGABYTES_10 = 10 * 1024 * 1024;

/** `start` and as often `each` as fits into 10 MB. */
const filled = (start: string, each: string, end = '') =>
  start + each.repeat((MEGABYTES_10 - start.length - end.length) / each.length) + end;
const refusalOf = (act: () => unknown): GatewayError => {
  try {
    act();
  } catch (error) {
    if (error instanceof GatewayError) return error;
    throw error;
  }
  throw new Error('it was accepted');
};

afterEach(() => void jest.restoreAllMocks());

describe('a body of 10 MB', () => {
  it.each([
    ['numbers', filled('{"stop":[', '0,')],
    ['empty objects', filled('{"messages":[', '{},')],
    ['empty lists', filled('{"messages":[{"content":[', '[],')],
    ['strings', filled('{"stop":[', '"",')],
    ['short strings, spaced out', filled('{"stop":[', '"a" , \n')],
    ['literals', filled('{"stop":[', 'true,')],
    ['tool calls', filled('{"messages":[{"role":"assistant","tool_calls":[', '0,')],
    ['lists of lists', filled('{"logit_bias":[', '[0],')],
    ['objects of one member', filled('{"tools":[', '{"a":0},')],
    ['members of one name', filled('{"metadata":{', '"a":0,')],
    ['unknown fields', filled('{', '"a":0,')],
    ['members with an object each', filled('{"logit_bias":{', '"":{},')],
    ['commas', filled('[', ',')],
    ['long numbers', filled('{"stop":[', '12345678901234567890,')],
    ['members of their own names', `{"a":{${Array.from({ length: 700_000 }, (_, index) => `"${index}a":0`).join(',')}}}`],
    ['numbers with exponents', filled('{"stop":[', '1e1,')],
  ])('of %s is refused before anything of it is built', (_what, body) => {
    const bytes = Buffer.from(body);
    const parse = jest.spyOn(JSON, 'parse');
    const decode = jest.spyOn(TextDecoder.prototype, 'decode');
    const refusal = refusalOf(() => parseJson(bytes));
    expect(refusal).toMatchObject({ code: 'too_many_values', status: 413 });
    expect(parse).not.toHaveBeenCalled();
    expect(decode).not.toHaveBeenCalled();
  });

  it.each([
    ['number', filled('{"seed":', '1', '}')],
    ['fraction', filled('{"seed":0.', '1', '}')],
  ])('of one %s is refused before anything of it is built', (_what, body) => {
    const bytes = Buffer.from(body);
    const parse = jest.spyOn(JSON, 'parse');
    expect(refusalOf(() => parseJson(bytes))).toMatchObject({ code: 'invalid_request', status: 400 });
    expect(parse).not.toHaveBeenCalled();
  });

  it.each([
    ['lists', undefined, filled('', '[')],
    ['objects', 'a', filled('', '{"a":')],
    ['lists with space between', 'a', filled('{"a":', '[ ')],
    ['lists in a later field', 'b\\"', filled('{"a":"c","b\\"":', '[')],
    ['closed lists', undefined, '['.repeat(MEGABYTES_10 / 2) + ']'.repeat(MEGABYTES_10 / 2)],
  ])('of nested %s is refused before anything of it is built, naming the field %s', (_what, param, body) => {
    const bytes = Buffer.from(body);
    const parse = jest.spyOn(JSON, 'parse');
    expect(refusalOf(() => parseJson(bytes))).toMatchObject({
      code: 'invalid_request',
      message: expect.stringMatching(/nested deeper than 64/),
    });
    expect(parse).not.toHaveBeenCalled();
  });

  it.each([
    ['a text', filled('{"messages":[{"role":"user","content":"', 'word, ', '"}]}')],
    ['an escaped text', filled('{"a":"', '\\n\\"[{,:', '"}')],
    ['white space', filled('[', ' ', ']')],
  ])('of %s is read', (_what, body) => {
    expect(parseJson(Buffer.from(body)).value).toBeDefined();
  });
});

describe('the number of values', () => {
  const list = (values: number) => Buffer.from(`[${Array.from({ length: values - 1 }, () => '0').join(',')}]`);

  it('may be 200,000 and no more', () => {
    expect(parseJson(list(200_000)).value).toHaveLength(199_999);
    expect(refusalOf(() => parseJson(list(200_001)))).toMatchObject({ code: 'too_many_values' });
  });

  it('may be more where lists of tokens are sent', () => {
    expect(parseJson(list(350_000), { maxValues: 350_000 }).value).toHaveLength(349_999);
    expect(refusalOf(() => parseJson(list(350_001), { maxValues: 350_000 })).message).toBe('The body holds more than 350000 JSON values.');
  });

  it('may be 199,000 in a conversation, and in what goes with it', () => {
    const part = '{"type":"text","text":"a"}';
    const message = `{"role":"user","content":[${Array.from({ length: 15 }, () => part).join(',')}]}`;
    const bias = Array.from({ length: 4_000 }, (_, token) => `"${token * 50}":-100`).join(',');
    const conversation = `{"messages":[${Array.from({ length: 4_050 }, () => message).join(',')}],"logit_bias":{${bias}}}`;
    const { values } = jsonExtent(Buffer.from(conversation), { values: Infinity, names: Infinity, depth: Infinity, longNumbers: Infinity });
    expect(values).toBeGreaterThan(198_000);
    expect(parseJson(Buffer.from(conversation)).value).toMatchObject({ messages: { length: 4_050 } });
  });
});

describe('the names of members', () => {
  const object = (names: number, name = (index: number) => `n${index}`) =>
    `{"metadata":{${Array.from({ length: names - 1 }, (_, index) => `"${name(index)}":0`).join(',')}}}`;

  it('may be 20,000 different ones and hardly more', () => {
    expect(parseJson(Buffer.from(object(20_000))).value).toHaveProperty('metadata.n19998');
    const parse = jest.spyOn(JSON, 'parse');
    // Names are told apart by a hash of 32 bits with a seed of its own: of so many, one or two may be taken for another.
    expect(refusalOf(() => parseJson(Buffer.from(object(20_020))))).toMatchObject({
      code: 'invalid_request',
      detail: { param: 'metadata' },
      message: "The body's members have more than 20000 different names.",
    });
    expect(parse).not.toHaveBeenCalled();
  });

  it('may be repeated, and the numbers of tokens, as often as there may be values', () => {
    const list = `[${object(150, (index) => `n${index % 100}`).slice(0, -1)},"b":1}${`,{"a":0}`.repeat(99_000)}]`;
    expect(parseJson(Buffer.from(list)).value).toHaveLength(99_001);
    const bias = parseJson(Buffer.from(object(199_000, String))).value as { metadata: object };
    expect(Object.keys(bias.metadata)).toHaveLength(198_999);
  });

  it('count one by one where they are long', () => {
    expect(refusalOf(() => parseJson(Buffer.from(object(20_001, () => 'n'.repeat(65)))))).toMatchObject({ detail: { param: 'metadata' } });
  });
});

describe('numbers that a double may not hold', () => {
  it('may be 5,000 and no more, however short', () => {
    const list = (numbers: number) => Buffer.from(`[${Array.from({ length: numbers }, () => '1e1').join(',')}]`);
    expect(JSON.stringify(parseJson(list(5_000)).verbatim)).toBe(list(5_000).toString());
    expect(refusalOf(() => parseJson(list(5_001)))).toMatchObject({
      code: 'invalid_request',
      message: expect.stringMatching(/5000 numbers/),
    });
  });

  it('are found wherever they stand in a large body, and in no text', () => {
    const text = `{"a":"${': 12345678901234567890, 1e99 '.repeat(1_000)}","b":[1]}`;
    const { value, verbatim } = parseJson(Buffer.from(text));
    expect(verbatim).toBe(value);
    const more = text.replace('[1]', '[12345678901234567890]');
    expect(JSON.stringify(parseJson(Buffer.from(more)).verbatim)).toBe(more);
  });
});

describe('the name of a field', () => {
  it('is not repeated at any length in the answer', () => {
    const name = 'n'.repeat(1_000_000);
    const refusal = refusalOf(() => parseJson(Buffer.from(`{"${name}":{"__proto__":0}}`)));
    expect(JSON.stringify(refusal).length).toBeLessThan(1_000);
    const told = new GatewayError('unknown_parameter', { message: `${name} is not supported.`, param: name });
    expect(JSON.stringify(told).length).toBeLessThan(3_000);
  });
});

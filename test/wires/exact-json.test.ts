import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { parseExactJson } from '../../src/wires/exact-json.ts';

const rewritten = (text: string): string => JSON.stringify(parseExactJson(text).verbatim);

/** Numbers as JSON allows them to be written, of any length and size. */
const digits = (least: number, most: number) => fc.stringMatching(new RegExp(`^[0-9]{${least},${most}}$`));
const integer = fc.oneof(fc.constant('0'), fc.stringMatching(/^[1-9][0-9]{0,40}$/));
const numberText = fc
  .tuple(
    fc.constantFrom('', '-'),
    integer,
    fc.option(digits(1, 40), { nil: null }),
    fc.option(fc.stringMatching(/^[eE][+-]?[0-9]{1,4}$/), { nil: null }),
  )
  .map(([sign, whole, decimals, exponent]) => `${sign}${whole}${decimals === null ? '' : `.${decimals}`}${exponent ?? ''}`);

/** The value of a number's text, exactly: its digits without zeros at either end, and where the point stands. */
function exactValue(text: string): string {
  const [, sign, whole = '', decimals = '', exponent = '0'] = /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/.exec(text) ?? [];
  const all = (whole + decimals).replace(/^0+/, '');
  const significant = all.replace(/0+$/, '');
  return significant === '' ? '0' : `${sign}${significant}e${Number(exponent) - decimals.length + all.length - significant.length}`;
}

describe('JSON that is passed on', () => {
  it.each([
    '{"seed":9223372036854775807}',
    '{"seed":-9223372036854775808}',
    '[2512292042121000001,18446744073709551615,9007199254740993]',
    '{"a":{"b":[1e400,-1E+400,1e-400]}}',
    '[0.10000000000000000555,2.00000000000000000001,123456789012.12345678]',
    '{"minimum": 1e5}',
    '{"a":\n\t12345678901234567890}',
  ])('has its numbers as they were written: %s', (text) => {
    expect(rewritten(text)).toBe(text.replace(/\s/g, ''));
  });

  it('keeps the value of every number, wherever it stands', () => {
    const place = fc.constantFrom('[N]', '[1,N,"x"]', '{"a":N}', '{"a":{"b":[ N ]},"c":1}', '[\nN\r\n]', '{"a":"1e400","b":N}');
    fc.assert(
      fc.property(numberText, place, (number, around) => {
        const text = around.replace('N', number);
        const [before = '', after = ''] = rewritten(around.replace('N', '7')).split('7');
        const written = rewritten(text);
        expect([written.slice(0, before.length), written.slice(written.length - after.length)]).toEqual([before, after]);
        const found = written.slice(before.length, written.length - after.length);
        expect(exactValue(found)).toBe(exactValue(number));
      }),
      { numRuns: 2_000 },
    );
  });

  it('is the value itself where no number needs it, and the same in all else where one does', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        const text = JSON.stringify(value);
        const plain = parseExactJson(text);
        expect(plain.value).toEqual(JSON.parse(text));
        expect(JSON.stringify(plain.verbatim)).toBe(JSON.stringify(JSON.parse(text)));
        expect(rewritten(`[12345678901234567890,${text}]`)).toBe(`[12345678901234567890,${JSON.stringify(JSON.parse(text))}]`);
      }),
    );
    const ordinary = parseExactJson(
      '{"messages":[{"content":"x1e400 or x12345678901234567890"}],"temperature":0.25,"seed":123456789012345}',
    );
    expect(ordinary.verbatim).toBe(ordinary.value);
  });

  it.each([
    ['{"a":9223372036854775807,"a":1}', '{"a":1}'],
    ['{"a":1,"a":9223372036854775807}', '{"a":9223372036854775807}'],
    ['{"a":{"b":1e400},"a":{"c":1,"c":12345678901234567890}}', '{"a":{"c":12345678901234567890}}'],
    ['{"a":[1e400,1e401],"a":[12345678901234567890]}', '{"a":[12345678901234567890]}'],
  ])('has each member once, the last: %s', (text, expected) => {
    expect(rewritten(text)).toBe(expected);
  });

  it('keeps no more numbers in their own words than memory allows', () => {
    const text = `[${Array.from({ length: 150_000 }, () => '1e400').join(',')}]`;
    const written = rewritten(text).slice(1, -1).split(',');
    expect(written).toHaveLength(150_000);
    expect(written.filter((number) => number === '1e400')).toHaveLength(100_000);
  });

  it('touches no prototype', () => {
    expect(rewritten('{"__proto__":{"a":1e400},"constructor":1e400}')).toBe('{"__proto__":{"a":1e400},"constructor":1e400}');
    expect(({} as { a?: unknown }).a).toBeUndefined();
  });

  it.each(['', '{', '[1e400', '[01234567890123456789]', '[1e]', 'NaN'])('is JSON, or is refused: %j', (text) => {
    expect(() => parseExactJson(text)).toThrow(SyntaxError);
  });
});

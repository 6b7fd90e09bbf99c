import { describe, expect, it } from '@jest/globals';
import { csvLine, decimal, type Cell } from '../src/csv.ts';

describe('a line of CSV', () => {
  it.each<[what: string, cells: Cell[], line: string]>([
    ['text, whole numbers, decimals and nothing', ['a b', -12n, decimal('-0.004'), null, ''], 'a b,-12,-0.004,,\r\n'],
    ['commas, quotes and line ends', ['a,b', 'say "x"', 'one\ntwo', 'cr\rlf'], '"a,b","say ""x""","one\ntwo","cr\rlf"\r\n'],
    ['formulas', ['=1+1', '+1', '-1', '@SUM(A1)', '\t=1', '\r=1', '＝1'], "'=1+1,'+1,'-1,'@SUM(A1),'\t=1,\"'\r=1\",'＝1\r\n"],
    ['what only looks like a formula further on', ['a=1', '1-2', ' =1'], 'a=1,1-2, =1\r\n'],
    ['a formula with a quote', ['=HYPERLINK("http://x","y")'], `"'=HYPERLINK(""http://x"",""y"")"\r\n`],
  ])('takes %s', (_what, cells, line) => expect(csvLine(cells)).toBe(line));

  it.each(['1e-7', '=1', '1,5', '', 'NaN', '1.'])('takes no %s for a decimal', (digits) =>
    expect(() => decimal(digits)).toThrow(RangeError),
  );
});

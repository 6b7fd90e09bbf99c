/** What a prompt looks like, in figures that have names. Computed in one pass and a few searches, all of linear time. */

/** Enough of a text to judge it by: its beginning and its end, where a question usually stands. Bounds the work for long ones. */
const JUDGED_HEAD = 3_072;
const JUDGED_TAIL = 1_024;

/** What kind of request a prompt is. Each kind has weights of its own, because what makes one hard says little of another. */
export type Shape =
  /** A question with a list of answers to choose from. */
  | 'choices'
  /** A quantity is asked for, and amounts are given. */
  | 'story'
  /** Anything else: chats, instructions, code. */
  | 'open';

export const FEATURES = [
  'length',
  'commas',
  'sentences',
  'lines',
  'numbers',
  'numberShare',
  'longestNumber',
  'fractions',
  'money',
  'symbols',
  'parentheses',
  'quotes',
  'wordLength',
  'capitals',
  'conditions',
  'quantities',
  'negations',
  'persons',
  'statements',
  'physics',
  'programs',
  'mathematics',
] as const;

export type Feature = (typeof FEATURES)[number];
export type Features = Readonly<Record<Feature, number>>;

const CONDITIONS = /\b(?:if|then|when|while|after|before|until|unless|otherwise|because|therefore|given|suppose|assume|let)\b/gi;
const QUANTITIES =
  /\b(?:each|every|per|twice|half|double|triple|times|more|less|fewer|than|total|remaining|left|third|quarter|average|percent)\b/gi;
const NEGATIONS = /\b(?:not|never|except|neither|nor|cannot|false|incorrect|least|wrong)\b/gi;
const PERSONS = /\b(?:i|me|my|you|he|she|his|her|they|their)\b/gi;
const STATEMENTS = /\b(?:statement|scenario)s?\b/i;
const PHYSICS =
  /\b(?:force|energy|velocity|mass|charge|current|voltage|field|frequency|temperature|pressure|electron|atom|circuit|magnetic|wave|speed|acceleration|momentum|particle|light|resistance|power)\b/gi;
const PROGRAMS =
  /\b(?:algorithm|function|program|array|code|memory|binary|bit|byte|graph|tree|loop|variable|cache|processor|language|grammar|regular)s?\b/gi;
const MATHEMATICS =
  /\b(?:probability|sample|mean|variance|distribution|integer|group|ring|polynomial|vector|matrix|set|equation|prime|subgroup|field|order|homomorphism|theorem|test|significan\w+|confidence|interval|regression|correlation)\b/gi;

/** The part of a text that is judged. */
export function judgedPart(text: string): string {
  return text.length <= JUDGED_HEAD + JUDGED_TAIL ? text : `${text.slice(0, JUDGED_HEAD)}\n${text.slice(-JUDGED_TAIL)}`;
}

/** The figures of a text; none of them is below 0. */
export function featuresOf(text: string): Features {
  const seen = scan(text);
  const words = Math.max(1, seen.words);
  const count = (pattern: RegExp) => text.match(pattern)?.length ?? 0;
  return {
    length: Math.log1p(text.length),
    commas: Math.log1p(seen.commas),
    sentences: Math.log1p(seen.sentences),
    lines: Math.log1p(seen.lines),
    numbers: Math.log1p(seen.numbers),
    numberShare: Math.min(1, (seen.numbers / words) * 5),
    longestNumber: Math.log1p(seen.longestNumber),
    fractions: Math.log1p(seen.fractions),
    money: Math.log1p(seen.money),
    symbols: Math.log1p(seen.symbols),
    parentheses: Math.log1p(seen.parentheses),
    quotes: Math.log1p(seen.quotes),
    wordLength: Math.min(20, seen.letters / words),
    capitals: Math.min(1, (seen.capitals / Math.max(1, text.length)) * 10),
    conditions: Math.log1p(count(CONDITIONS)),
    quantities: Math.log1p(count(QUANTITIES)),
    negations: Math.min(2, count(NEGATIONS)),
    persons: Math.min(1, (count(PERSONS) / words) * 8),
    statements: STATEMENTS.test(text) ? 1 : 0,
    physics: Math.log1p(count(PHYSICS)),
    programs: Math.log1p(count(PROGRAMS)),
    mathematics: Math.log1p(count(MATHEMATICS)),
  };
}

const COMMAS = setOf(',;:、，；：،');
const ENDS = setOf('.?!。？！؟।');
const MONEY = setOf('$€£¥₹₩');
const SYMBOLS = setOf('=<>^_\\{}+*|∈∀∃∑∫√≤≥→∧∨¬');
const PARENTHESES = setOf('()[]');
const QUOTES = setOf('"“”\'’「」«»');

function setOf(characters: string): ReadonlySet<number> {
  return new Set(Array.from(characters, (character) => character.charCodeAt(0)));
}

/** Counts by single characters. Scripts without spaces have about one word for two characters. */
function scan(text: string) {
  const seen = {
    words: 0,
    letters: 0,
    commas: 0,
    sentences: 0,
    lines: 0,
    numbers: 0,
    longestNumber: 0,
    fractions: 0,
    money: 0,
    symbols: 0,
  };
  const more = { parentheses: 0, quotes: 0, capitals: 0 };
  let inWord = false;
  let digits = 0;
  let ideographs = 0;
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index);
    const isDigit = code >= 48 && code <= 57;
    if (isDigit) {
      digits += 1;
      seen.longestNumber = Math.max(seen.longestNumber, Math.min(digits, 12));
      if (digits === 1) seen.numbers += 1;
    } else if (digits > 0) {
      // A decimal point, a slash or a per cent sign that follows a digit.
      if (code === 37 || ((code === 46 || code === 47) && isDigitCode(text.charCodeAt(index + 1)))) seen.fractions += 1;
      digits = 0;
    }
    const isSpace = code === 32 || code === 10 || code === 13 || code === 9 || code === 0x3000;
    if (!isSpace) seen.letters += 1;
    if (code >= 0x2e80 && code <= 0x9fff) ideographs += 1;
    const isLetter = isDigit || (code >= 97 && code <= 122) || (code >= 65 && code <= 90) || (code > 0xbf && code < 0x2000);
    if (isLetter && !inWord) seen.words += 1;
    inWord = isLetter || code === 39;
    if (code >= 65 && code <= 90) more.capitals += 1;
    else if (code === 10) seen.lines += 1;
    else if (!isLetter && !isSpace) {
      if (COMMAS.has(code)) seen.commas += 1;
      else if (ENDS.has(code)) seen.sentences += 1;
      else if (SYMBOLS.has(code)) seen.symbols += 1;
      else if (PARENTHESES.has(code)) more.parentheses += 1;
      else if (QUOTES.has(code)) more.quotes += 1;
      else if (MONEY.has(code)) seen.money += 1;
    }
  }
  seen.words += Math.ceil(ideographs / 2);
  return { ...seen, ...more };
}

function isDigitCode(code: number): boolean {
  return code >= 48 && code <= 57;
}

/** Lines that begin as answers to choose from do: `A.`, `b)`, `(C)`. */
const CHOICE = /^[ \t]{0,8}\(?[A-Ea-e][.)][ \t]/gm;
const LEAST_CHOICES = 3;
/** How a quantity is asked for, in some languages. */
const ASKS_HOW_MANY =
  /\bhow (?:many|much|long|far|old|fast)\b|\bcalculate\b|\bcombien\b|\bwie ?viele?\b|\bcu[aá]nt[oa]s?\b|\bquant[oaie]s?\b|\bhoeveel\b|\bkaç\b|\bile\b|сколько|多少|几个|幾|いくつ|いくら|何(?:個|人|円|本)|몇|कितन|كم /i;
const ASKS_WHAT = /\bwhat(?:['’]s| is| was| are| were| will| would| percent\w*| fraction| score)\b/i;
const LONGEST_STORY = 2_500;
const CODE = /```|[{};]\s{0,8}\n|\b(?:def|return|import|public static|SELECT|console\.log)\b/;

/** The kind of request that a text is. */
export function shapeOf(text: string, features: Features): Shape {
  if (CODE.test(text)) return 'open';
  if ((text.match(CHOICE)?.length ?? 0) >= LEAST_CHOICES) return 'choices';
  const numbers = Math.round(Math.expm1(features.numbers));
  const amounts = numbers + Math.round(Math.expm1(features.quantities));
  const asks = (amounts >= 2 && ASKS_HOW_MANY.test(text)) || (numbers >= 2 && ASKS_WHAT.test(text));
  return asks && text.length <= LONGEST_STORY ? 'story' : 'open';
}

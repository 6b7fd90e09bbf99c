import { isAlias, isMap, isScalar, isSeq, LineCounter, parseDocument, type Document, type Node, type Pair } from 'yaml';

/** Which setting: member names and list positions, from the file's top. */
export type SettingPath = readonly PropertyKey[];

export interface Position {
  readonly line: number;
  readonly column: number;
}

/** A YAML file's content, and where everything in it stands. */
export interface YamlSource {
  /** An empty file is an object without members. */
  readonly value: unknown;
  /** Where a setting's value, or its name, stands; for one that is not there, what it would stand in. */
  readonly positionOf: (path: SettingPath, part?: 'value' | 'name') => Position;
  /** Whether the file has the setting. */
  readonly has: (path: SettingPath) => boolean;
}

/** A file that is no YAML. What the library says of it can repeat the file, which holds secrets: these sentences never do. */
export class YamlError extends Error {
  override name = 'YamlError';
  readonly position: Position;

  constructor(message: string, position: Position) {
    super(`not valid YAML: ${message}`);
    this.position = position;
  }
}

const SENTENCES: Readonly<Record<string, string>> = {
  BAD_ALIAS: 'an alias of no anchor before it, or too many aliases',
  BAD_INDENT: 'a line is not indented as it must be, or a bracket is not closed',
  BLOCK_AS_IMPLICIT_KEY: 'two settings on one line',
  DUPLICATE_KEY: 'this name is there twice',
  MISSING_CHAR: 'a colon, comma, quote or bracket is missing',
  MULTIPLE_DOCS: 'a second document begins',
  NON_STRING_KEY: 'a name must be text',
  RESOURCE_EXHAUSTION: 'too deep',
  TAB_AS_INDENT: 'a tab where only spaces may be',
  TAG_RESOLVE_FAILED: 'a tag that is not known',
};
/** Aliases are for writing a value once. A few of them can stand for millions of values. */
const MOST_ALIASES = 100;
const TOP: Position = { line: 1, column: 1 };

/** Reads one YAML document (YAML 1.2, without merge keys). Throws YamlError. */
export function parseYaml(text: string): YamlSource {
  const lineCounter = new LineCounter();
  const positionAt = (offset: number): Position => {
    const { line, col } = lineCounter.linePos(offset);
    return line > 0 ? { line, column: col } : TOP;
  };
  const document = parseDocument(text, { lineCounter, prettyErrors: false, logLevel: 'error', stringKeys: true });
  const [wrong] = [...document.errors, ...document.warnings];
  if (wrong) throw new YamlError(SENTENCES[wrong.code] ?? 'this cannot be read', positionAt(wrong.pos[0]));
  let value: unknown;
  try {
    value = document.toJS({ maxAliasCount: MOST_ALIASES }) ?? {};
  } catch {
    throw new YamlError(SENTENCES['BAD_ALIAS'] as string, positionOfAlias(document, positionAt));
  }
  return {
    value,
    has: (path) => walk(document, path).isThere,
    positionOf(path, part = 'value') {
      const { node, name } = walk(document, path);
      const [offset] = ((part === 'name' ? name : undefined) ?? node)?.range ?? [];
      return offset === undefined ? TOP : positionAt(offset);
    },
  };
}

interface Walked {
  /** The value, or the last one on the way to it that is there. */
  readonly node: Node | null | undefined;
  /** Its name, where it has one. */
  readonly name: Node | undefined;
  readonly isThere: boolean;
}

function walk(document: Document.Parsed, path: SettingPath): Walked {
  let node: Node | null | undefined = document.contents;
  let name: Node | undefined;
  for (const [depth, member] of path.entries()) {
    const inside: Node | undefined = isAlias(node) ? node.resolve(document) : (node ?? undefined);
    const pair: Pair<Node, Node | null> | undefined = isMap<Node, Node | null>(inside)
      ? inside.items.find(({ key }) => isScalar(key) && String(key.value) === String(member))
      : undefined;
    const item: Node | undefined = isSeq<Node>(inside) ? inside.items[Number(member)] : undefined;
    if (!pair && !item) return { node, name, isThere: false };
    node = item ?? pair?.value ?? pair?.key;
    name = item ? undefined : pair?.key;
    if (depth === path.length - 1) return { node, name, isThere: true };
  }
  return { node, name, isThere: true };
}

/** The first alias: one of nothing, or of too much. */
function positionOfAlias(document: Document.Parsed, positionAt: (offset: number) => Position): Position {
  const seek = (node: unknown): Node | undefined => {
    if (isAlias(node)) return node.resolve(document) ? undefined : node;
    if (isMap(node)) return node.items.map(({ key, value }) => seek(key) ?? seek(value)).find(Boolean);
    return isSeq(node) ? node.items.map(seek).find(Boolean) : undefined;
  };
  const offset = seek(document.contents)?.range?.[0];
  return offset === undefined ? TOP : positionAt(offset);
}

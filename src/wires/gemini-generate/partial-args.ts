import { member, objectsIn } from '../json-object.ts';
import { jsonText } from './response.ts';

type Key = string | number;
type Container = Record<Key, unknown>;

/** Far more than any call has; a path beyond them would make the reader build what nobody wrote. */
const MOST_LEVELS = 32;
const MOST_ELEMENTS = 10_000;

const STEP = /\.([^.[\]]+)|\[(\d{1,5})\]|\['((?:[^'\\]|\\.)*)'\]|\["((?:[^"\\]|\\.)*)"\]/y;

/**
 * The arguments of a call that come in pieces (Vertex AI, `partialArgs`): each piece names its place by a JSON path
 * (https://www.rfc-editor.org/rfc/rfc9535) and gives a value, of which texts go on where they left off.
 */
export class PartialArgs {
  readonly #root = emptyObject();
  #isEmpty = true;

  /** Takes the pieces of one chunk. A piece whose place cannot be made out is passed over. */
  add(pieces: unknown): void {
    for (const piece of objectsIn(pieces)) {
      const path = pathOf(piece['jsonPath']);
      if (path) this.#put(path, piece);
    }
  }

  /** The whole as JSON text; '' where no piece came. */
  text(): string {
    return this.#isEmpty ? '' : jsonText(this.#root);
  }

  #put(path: readonly Key[], piece: Readonly<Record<string, unknown>>): void {
    let container = this.#root;
    for (const [level, key] of path.entries()) {
      const next = path[level + 1];
      if (Array.isArray(container) !== (typeof key === 'number')) return;
      if (next === undefined) {
        container[key] = valueOf(piece, container[key]);
        this.#isEmpty = false;
        return;
      }
      const inner = (container[key] ??= typeof next === 'number' ? [] : emptyObject());
      if (typeof inner !== 'object' || inner === null) return;
      container = inner as Container;
    }
  }
}

/** Without a prototype, so that every name is a name. */
function emptyObject(): Container {
  return Object.create(null) as Container;
}

function valueOf(piece: Readonly<Record<string, unknown>>, before: unknown): unknown {
  const { stringValue, numberValue, boolValue } = piece;
  if (typeof stringValue === 'string') return typeof before === 'string' ? before + stringValue : stringValue;
  return numberValue ?? boolValue ?? null;
}

/** The steps of a path below the root; null for one that is none, or that leads too far. */
function pathOf(path: unknown): Key[] | null {
  if (typeof path !== 'string' || !path.startsWith('$')) return null;
  const steps: Key[] = [];
  STEP.lastIndex = 1;
  while (STEP.lastIndex < path.length) {
    const step = STEP.exec(path);
    if (!step || steps.length === MOST_LEVELS || Number(step[2] ?? 0) >= MOST_ELEMENTS) return null;
    const quoted = step[3] ?? step[4];
    steps.push(step[2] === undefined ? (step[1] ?? quoted?.replace(/\\(.)/g, '$1') ?? '') : Number(step[2]));
  }
  return steps.length > 0 ? steps : null;
}

/** Whether more of the call will come. */
export function willContinue(call: unknown): boolean {
  return member(call, 'willContinue') === true;
}

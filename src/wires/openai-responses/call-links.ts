import { createHash } from 'node:crypto';
import type { ToolCallPart, ToolResultPart } from '../generation.ts';

/** What this wire takes as the id of a call. */
const MOST_CHARACTERS = 64;

interface Call {
  readonly id: string;
  readonly name: string;
  readonly kind: ToolCallPart['kind'];
}

/** Ties results to calls: ids that are too long are made shorter, and where none were given the first call of that name is meant. */
export class CallLinks {
  readonly #calls = new Map<string, Call>();
  /** Calls without an id of their own that have no result yet. */
  readonly #nameless: Call[] = [];

  /** The id of a call on this wire. */
  called({ id, name, kind }: ToolCallPart): string {
    const call = { id: id === '' ? `call_${this.#calls.size}` : short(id), name, kind };
    this.#calls.set(id === '' ? call.id : id, call);
    if (id === '') this.#nameless.push(call);
    return call.id;
  }

  /** The call that a result answers. */
  answered({ callId, name }: ToolResultPart): Pick<Call, 'id' | 'kind'> {
    const known = callId === '' ? undefined : this.#calls.get(callId);
    if (known) return known;
    const at = this.#nameless.findIndex((call) => name === undefined || call.name === name);
    const [nameless] = callId === '' && at >= 0 ? this.#nameless.splice(at, 1) : [];
    return nameless ?? { id: short(callId), kind: 'function' };
  }
}

function short(id: string): string {
  return id.length <= MOST_CHARACTERS ? id : `call_${createHash('sha256').update(id).digest('hex').slice(0, 32)}`;
}

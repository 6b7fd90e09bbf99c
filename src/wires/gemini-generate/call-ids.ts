import { createHash, randomUUID } from 'node:crypto';

/** Marks the ids that are made here, so that the model is not told of ids that it never gave. */
const PREFIX = 'gcall_';
const MADE_HERE = /^gcall_[\w-]{27}$/;
const HASH_BYTES = 20;

/**
 * The ids of the tool calls in one answer. Models up to 2.5 give none, and clients need one for each. Those made here follow from the
 * answer's own id, which no other answer has: the same tool, called with the same arguments in a later turn, gets another one, and an
 * answer reads the same however often it is read. They keep to `[A-Za-z0-9_-]` and 33 characters, which every wire takes.
 */
export class CallIds {
  readonly #seed: string;
  readonly #given = new Set<string>();
  readonly #counts = new Map<number, number>();

  /** @param responseId an answer without one gets a random one in its place: unlike is more than repeatable. */
  constructor(responseId: unknown) {
    this.#seed = typeof responseId === 'string' && responseId !== '' ? responseId : randomUUID();
  }

  /** The id of the next call of a completion: the model's own, where it gave one that no other call of the answer has. */
  next(completion: number, own: unknown): string {
    const number = this.#counts.get(completion) ?? 0;
    this.#counts.set(completion, number + 1);
    if (typeof own === 'string' && own !== '' && !this.#given.has(own)) {
      this.#given.add(own);
      return own;
    }
    const digest = createHash('sha256').update(`${this.#seed}\0${completion}\0${number}`).digest();
    return PREFIX + digest.subarray(0, HASH_BYTES).toString('base64url');
  }
}

/** Whether an id was made here, for a call to which the model gave none. */
export function isMadeHere(id: string): boolean {
  return MADE_HERE.test(id);
}

/** What a client is asked to do. */
export interface Task {
  model: string;
  prompt: string;
  maxTokens: number;
  stop?: string;
  n?: number;
  stream?: boolean;
  /** Leaves a stream after this many pieces of text. */
  leaveAfter?: number;
}

/** What it got. */
export interface Said {
  /** One of each choice. */
  texts: string[];
  /** Why the model stopped, as the client calls it; null where the client left. */
  finish: string | null;
}

/** What it was refused with. */
export class Refused extends Error {
  override name = 'Refused';
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

/** A published client on one surface, with nothing changed but the address and the key. */
export interface Client {
  readonly name: string;
  /** The path it calls. */
  readonly path: string;
  /** How it names an answer that its cap ended. */
  readonly capped: string;
  readonly canStop: boolean;
  readonly canAskForMore: boolean;
  /** Rejects with `Refused` where the gateway refused. */
  say(where: { url: string; secret: string }, task: Task): Promise<Said>;
}

/** Gathers a stream's pieces, and leaves where the task says so. */
export async function gather(pieces: AsyncIterable<string>, { leaveAfter = Infinity }: Task, leave: () => void): Promise<Gathered> {
  let text = '';
  let count = 0;
  for await (const piece of pieces) {
    text += piece;
    if (piece === '' || ++count < leaveAfter) continue;
    leave();
    return { text, left: true };
  }
  return { text, left: false };
}

export interface Gathered {
  text: string;
  left: boolean;
}

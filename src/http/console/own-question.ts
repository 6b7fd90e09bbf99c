import { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { Duplex } from 'node:stream';
import type { Request, Response } from 'express';
import type { ApiKey } from '../../accounts/api-key.ts';
import type { Gateway } from '../../gateway.ts';
import type { JsonObject } from '../../wires/wire.ts';
import type { InferenceRoute } from '../payment/incoming.ts';
import type { Payers } from '../payment/payers.ts';

export interface OwnQuestionDeps {
  gateway: Pick<Gateway, 'answer'>;
  payers: Pick<Payers, 'standFor'>;
}

/** A question that a form asks: by which key, and with which more headers. */
export interface OwnQuestion {
  readonly route: InferenceRoute;
  readonly key: Pick<ApiKey, 'id' | 'prefix'>;
  readonly chat: JsonObject;
  readonly headers: Readonly<Record<string, string>>;
}

/** What the gateway answered. Header names are in small letters. */
export interface OwnAnswer {
  readonly status: number;
  readonly headers: ReadonlyMap<string, string>;
  readonly body: object;
}

/** What says where a request came from: the same is said of the question that is asked for it. */
const OF_SENDER = ['x-forwarded-for', 'x-forwarded-proto', 'x-forwarded-host', 'forwarded', 'host', 'user-agent'];
const END_OF_HEAD = Buffer.from('\r\n\r\n');

/**
 * Asks the gateway in the name of a form's sender, in this process: the question has the form's own connection, so it counts as the
 * sender's at every limit, behind proxies too. It is given up when the sender leaves. Rejects as `Gateway.answer` does; null where the sender
 * has left.
 */
export async function askInOwnName(
  { gateway, payers }: OwnQuestionDeps,
  req: Request,
  res: Response,
  question: OwnQuestion,
): Promise<OwnAnswer | null> {
  const inner = questionOf(req, question);
  payers.standFor(inner, question.key);
  const answer = new TakenAnswer(inner);
  const leave = (): void => answer.leave();
  res.once('close', leave);
  if (res.destroyed) answer.leave();
  try {
    await gateway.answer(inner, answer as unknown as Response, question.route);
    return await answer.taken;
  } finally {
    res.off('close', leave);
    answer.leave();
  }
}

/** A request of the same connection, whose whole body is here. */
function questionOf(req: Request, { chat, headers }: OwnQuestion): Request {
  const inner = Object.setPrototypeOf(new IncomingMessage(req.socket), Object.getPrototypeOf(req) as object) as Request;
  const body = Buffer.from(JSON.stringify(chat));
  const sender = OF_SENDER.flatMap((name) => (req.headers[name] === undefined ? [] : [[name, req.headers[name]]]));
  const type = { 'content-type': 'application/json', 'content-length': String(body.length) };
  Object.assign(inner, { method: 'POST', url: req.url, httpVersionMajor: 1, httpVersionMinor: 1, complete: true });
  inner.headers = { ...Object.fromEntries(sender), ...headers, ...type };
  inner.push(body);
  inner.push(null);
  return inner;
}

/** An answer whose bytes go into memory instead of a client's connection. */
class TakenAnswer extends ServerResponse {
  readonly locals: Record<string, unknown> = {};
  readonly #bytes: Buffer[] = [];
  readonly #sink: Duplex;
  readonly #headers = new Map<string, string>();

  constructor(req: IncomingMessage) {
    super(req);
    const bytes = this.#bytes;
    this.#sink = new Duplex({
      read() {
        // Nobody sends anything on it.
      },
      write(piece: Buffer, _encoding, done) {
        bytes.push(piece);
        done();
      },
    });
    this.assignSocket(this.#sink as Socket);
  }

  /** All of it once it has ended; null where it was given up before. */
  get taken(): Promise<OwnAnswer | null> {
    const told = (): OwnAnswer | null => {
      if (!this.writableFinished) return null;
      const whole = Buffer.concat(this.#bytes);
      const bodyAt = whole.indexOf(END_OF_HEAD) + END_OF_HEAD.length;
      return { status: this.statusCode, headers: this.#headers, body: JSON.parse(whole.subarray(bodyAt).toString()) as object };
    };
    const ended = new Promise<void>((resolve) => {
      if (this.writableFinished || this.destroyed) return resolve();
      for (const event of ['finish', 'close']) this.once(event, resolve);
    });
    // What nobody can read must reject: thrown at the event, it would end the process.
    return ended.then(told);
  }

  /** The head that goes out by `writeHead` is written straight away and kept nowhere else. */
  override writeHead(status: number, reason?: unknown, given?: unknown): this {
    const head = (typeof reason === 'string' ? given : reason) as readonly string[] | undefined;
    for (let index = 0; index < (head?.length ?? 0); index += 2) {
      this.#headers.set(String(head?.[index]).toLowerCase(), String(head?.[index + 1]));
    }
    return super.writeHead(status, reason as string, given as string[]);
  }

  /** What a client's leaving is: nothing more is taken. Closes an answer that has ended, too, as its connection would. */
  leave(): void {
    this.#sink.destroy();
  }
}

import { chat } from './chat.ts';
import { parseStream } from './chat-stream.ts';
import { completion, contentEvent, finishEvent, usageEvent, type FakeExchange, type FakeScript } from './fake-provider.ts';
import type { TestGateway, TestKey } from './gateway.ts';

const AT_ONCE = 40;

const USAGES = [
  { prompt_tokens: 10, completion_tokens: 5 },
  { prompt_tokens: 3_000_000, completion_tokens: 9 },
  { prompt_tokens: 0, completion_tokens: 0 },
  { prompt_tokens: -1 },
  null,
];

/** What the provider does with a request. */
interface Behaviour {
  script: FakeScript;
  /** Whether a client is answered by it: as a stream only, or a JSON request, too. */
  answers: 'never' | 'streams' | 'all';
  /** Of a refusal that is about the request, which no other candidate may change. */
  refusal?: number;
}

/** A request as its client knows it. */
interface Asked {
  stream: boolean;
  malformed: boolean;
  idempotent: boolean;
  /** What the provider did with it, in order. */
  met: readonly Behaviour[];
}

/** What a client was told that its request cost. */
export interface Told {
  requestId: string;
  chargedMsat: number;
}

export interface RandomMixOptions {
  gateways: readonly Pick<TestGateway, 'post'>[];
  keys: readonly TestKey[];
  /** From 0 to below 1. */
  random: () => number;
}

/** Requests of every kind, with clients that leave and a provider that fails in every way. */
export class RandomMix {
  readonly #gateways: RandomMixOptions['gateways'];
  readonly #keys: readonly TestKey[];
  readonly #random: () => number;
  readonly #behaviours: readonly (() => Behaviour)[];
  /** By the client's id of the request. */
  readonly #met = new Map<string, Behaviour[]>();
  #asked = 0;

  constructor({ gateways, keys, random }: RandomMixOptions) {
    this.#gateways = gateways;
    this.#keys = keys;
    this.#random = random;
    const well = (): Behaviour => ({ script: (exchange) => exchange.answer(), answers: 'all' });
    this.#behaviours = [
      ...[well, well, well],
      () => {
        const status = this.#oneOf([400, 401, 429, 500, 503]);
        return { script: (exchange) => exchange.error(status), answers: 'never', ...(status === 400 && { refusal: status }) };
      },
      () => ({ script: (exchange) => exchange.reset(), answers: 'never' }),
      () => ({ script: () => {}, answers: 'never' }),
      () => ({ script: (exchange) => this.#answerWithOddUsage(exchange), answers: 'all' }),
      () => ({ script: breaksOff, answers: 'streams' }),
      () => ({ script: inPieces, answers: 'streams' }),
    ];
  }

  /** The provider's part, for `FakeProvider.always`. */
  readonly behave: FakeScript = (exchange) => {
    const behaviour = this.#oneOf(this.#behaviours)();
    this.#met.get(String(exchange.headers['x-client-request-id']))?.push(behaviour);
    return behaviour.script(exchange);
  };

  /** Makes so many requests. Gives what clients were told of charges; throws where an answer has a status that none may have. */
  async run(requests: number): Promise<Told[]> {
    const told: Told[] = [];
    let left = requests;
    const client = async (): Promise<void> => {
      while (left-- > 0) {
        const one = await this.#request(this.#oneOf(this.#keys), this.#random() < 0.3 ? this.#random() * 60 : null);
        if (one) told.push(one);
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, client));
    return told;
  }

  /** One request, given up by its client after `patienceMs`. */
  async #request(key: TestKey, patienceMs: number | null): Promise<Told | null> {
    const id = `mix-${this.#asked++}`;
    const asked = {
      stream: this.#random() < 0.5,
      malformed: this.#random() < 0.1,
      idempotent: this.#random() < 0.2,
      met: [] as Behaviour[],
    };
    const body = chat({
      stream: asked.stream,
      model: this.#oneOf(['pureai/fake', 'auto']),
      ...(this.#random() < 0.3 && { max_tokens: 50 }),
      ...(asked.malformed && { temperature: 'hot' }),
    });
    const headers = {
      'x-client-request-id': id,
      ...(asked.idempotent && { 'idempotency-key': String(Math.floor(this.#random() * 20)) }),
    };
    const client = new AbortController();
    if (patienceMs !== null) setTimeout(() => client.abort(), patienceMs);
    this.#met.set(id, asked.met);
    try {
      const answer = await this.#oneOf(this.#gateways).post('/v1/chat/completions', body, key, headers, client.signal);
      const text = await answer.text();
      if (!isRight(answer.status, text, asked)) {
        throw new Error(
          `HTTP ${answer.status} to ${JSON.stringify({ ...asked, met: asked.met.map(({ answers, refusal }) => refusal ?? answers) })}: ${text}`,
        );
      }
      if (answer.status !== 200) return null;
      if (!asked.stream)
        return { requestId: answer.headers.get('x-pura-request-id') ?? '', chargedMsat: Number(answer.headers.get('x-pura-charged-msat')) };
      const { settled } = parseStream(text);
      return settled && { requestId: settled.request_id, chargedMsat: settled.charged_msat };
    } catch (error) {
      if (client.signal.aborted) return null;
      throw error;
    } finally {
      this.#met.delete(id);
    }
  }

  #answerWithOddUsage(exchange: FakeExchange): void | Promise<void> {
    const usage = this.#oneOf(USAGES);
    return exchange.body['stream'] === true
      ? exchange.stream(['Hel', 'lo.'], { usage, done: this.#random() < 0.5 })
      : exchange.json(completion({ usage }));
  }

  #oneOf<T>(items: readonly T[]): T {
    return items[Math.floor(this.#random() * items.length)] as T;
  }
}

const breaksOff: FakeScript = async (exchange) => {
  exchange.startStream();
  await exchange.content('Hello');
  exchange.reset();
};
/** The pieces end within characters and events. */
const inPieces: FakeScript = async (exchange) => {
  exchange.startStream();
  const bytes = Buffer.from(contentEvent('é'.repeat(7)) + finishEvent() + usageEvent());
  for (let at = 0; at < bytes.length; at += 7) await exchange.send(bytes.subarray(at, at + 7));
  exchange.end();
};

/** Whether the gateway had a reason to answer a request with this status. None of them is a database or a gateway that is overwhelmed. */
function isRight(status: number, text: string, { stream, malformed, idempotent, met }: Asked): boolean {
  if (status === 200) return idempotent || met.some(({ answers }) => answers === 'all' || (stream && answers === 'streams'));
  const { code, param } = (JSON.parse(text) as { error: { code?: string; param?: string | null } }).error;
  const refused = met.at(-1)?.refusal;
  switch (status) {
    case 400:
      return malformed ? param === 'temperature' : refused === 400;
    case 402:
      return met.length === 0 && ['insufficient_balance', 'free_tier_exceeded'].includes(code ?? '');
    case 409:
      return idempotent && met.length === 0;
    case 429:
      return met.length === 0 && ['rate_limit_exceeded', 'too_many_invoices'].includes(code ?? '');
    case 503:
      return (
        code === 'upstream_error' &&
        met.length > 0 &&
        met.every(({ answers, refusal }) => !refusal && (answers === 'never' || (answers === 'streams' && !stream)))
      );
    default:
      return false;
  }
}

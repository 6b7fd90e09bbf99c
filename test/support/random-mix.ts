import { chat } from './chat.ts';
import { parseStream } from './chat-stream.ts';
import { completion, contentEvent, finishEvent, usageEvent, type FakeExchange, type FakeScript } from './fake-provider.ts';
import type { TestGateway, TestKey } from './gateway.ts';

const AT_ONCE = 40;
const EXPECTED = new Set([200, 400, 402, 409, 429, 503]);

const USAGES = [
  { prompt_tokens: 10, completion_tokens: 5 },
  { prompt_tokens: 3_000_000, completion_tokens: 9 },
  { prompt_tokens: 0, completion_tokens: 0 },
  { prompt_tokens: -1 },
  null,
];

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
  readonly #behaviours: readonly FakeScript[];

  constructor({ gateways, keys, random }: RandomMixOptions) {
    this.#gateways = gateways;
    this.#keys = keys;
    this.#random = random;
    this.#behaviours = [
      (exchange) => exchange.answer(),
      (exchange) => exchange.answer(),
      (exchange) => exchange.answer(),
      (exchange) => exchange.error(this.#oneOf([400, 401, 429, 500, 503])),
      (exchange) => exchange.reset(),
      () => {},
      (exchange) => this.#answerWithOddUsage(exchange),
      async (exchange) => {
        exchange.startStream();
        await exchange.content('Hello');
        exchange.reset();
      },
      async (exchange) => {
        exchange.startStream();
        for (const byte of Buffer.from(contentEvent('é') + finishEvent() + usageEvent())) await exchange.send(Buffer.of(byte));
        exchange.end();
      },
    ];
  }

  /** The provider's part, for `FakeProvider.always`. */
  readonly behave: FakeScript = (exchange) => this.#oneOf(this.#behaviours)(exchange);

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
    const stream = this.#random() < 0.5;
    const body = chat({
      stream,
      model: this.#oneOf(['pureai/fake', 'auto']),
      ...(this.#random() < 0.3 && { max_tokens: 50 }),
      ...(this.#random() < 0.1 && { temperature: 'hot' }),
    });
    const headers: Record<string, string> = this.#random() < 0.2 ? { 'idempotency-key': String(Math.floor(this.#random() * 20)) } : {};
    const client = new AbortController();
    if (patienceMs !== null) setTimeout(() => client.abort(), patienceMs);
    try {
      const answer = await this.#oneOf(this.#gateways).post('/v1/chat/completions', body, key, headers, client.signal);
      const text = await answer.text();
      if (!EXPECTED.has(answer.status)) throw new Error(`HTTP ${answer.status}: ${text}`);
      if (answer.status !== 200) return null;
      if (!stream)
        return { requestId: answer.headers.get('x-pura-request-id') ?? '', chargedMsat: Number(answer.headers.get('x-pura-charged-msat')) };
      const { settled } = parseStream(text);
      return settled && { requestId: settled.request_id, chargedMsat: settled.charged_msat };
    } catch (error) {
      if (client.signal.aborted) return null;
      throw error;
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

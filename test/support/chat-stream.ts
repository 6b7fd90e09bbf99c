import { chat } from './chat.ts';
import type { FakeExchange, FakeProvider } from './fake-provider.ts';
import type { TestGateway, TestKey } from './gateway.ts';

/** The settled figures that a stream ends with. */
export interface Settled {
  cost_usd: number;
  cost_msat: number;
  charged_msat: number;
  funding: string;
  balance_sats: number;
  request_id: string;
}

/** A whole stream as a client read it. */
export interface ChatStream {
  raw: string;
  /** The JSON chunks, without `[DONE]`. */
  chunks: Chunk[];
  /** The text of all deltas. */
  content: string;
  /** Of the `: pura` comment; null without one. */
  settled: Settled | null;
  /** Whether it ended with `[DONE]`. */
  done: boolean;
  error: { code: string; message: string; type: string } | undefined;
}

export interface Chunk {
  id?: string;
  model?: string;
  choices?: { delta?: { content?: string; tool_calls?: unknown }; finish_reason?: string | null }[];
  usage?: Record<string, number> | null;
  error?: { code: string; message: string; type: string };
}

/** Reads a stream to its end and takes it apart. */
export async function readStream(response: Response): Promise<ChatStream> {
  return parseStream(await response.text());
}

export function parseStream(raw: string): ChatStream {
  const data = [...raw.matchAll(/^data: (.*)$/gm)].map(([, text = '']) => text);
  const comment = /^: pura (.*)$/m.exec(raw)?.[1];
  const chunks = data.filter((text) => text.startsWith('{')).map((text) => JSON.parse(text) as Chunk);
  return {
    raw,
    chunks,
    content: chunks.map((chunk) => chunk.choices?.[0]?.delta?.content ?? '').join(''),
    settled: comment === undefined ? null : (JSON.parse(comment) as Settled),
    done: data.at(-1) === '[DONE]',
    error: chunks.find((chunk) => chunk.error)?.error,
  };
}

/** A stream that is read bit by bit. */
export class OpenStream {
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  readonly #decoder = new TextDecoder();
  #raw = '';

  constructor({ body }: Response) {
    if (!body) throw new Error('the answer has no body');
    this.#reader = body.getReader() as ReadableStreamDefaultReader<Uint8Array>;
  }

  /** What has been read so far. */
  get raw(): string {
    return this.#raw;
  }

  /** Reads on until `text` has come. Throws where the stream ends before that. */
  async until(text: string): Promise<string> {
    while (!this.#raw.includes(text)) await this.next(text);
    return this.#raw;
  }

  /** Reads on until anything has come. Throws where the stream ends before that. */
  async next(text = 'anything'): Promise<void> {
    const { done, value } = await this.#reader.read();
    if (done) throw new Error(`the stream ended before ${text}: ${this.#raw}`);
    this.#raw += this.#decoder.decode(value, { stream: true });
  }

  /** Leaves in the middle. */
  async leave(): Promise<void> {
    await this.#reader.cancel();
  }

  /** Reads on to the end. */
  async rest(): Promise<ChatStream> {
    for (;;) {
      const { done, value } = await this.#reader.read();
      if (done) return parseStream(this.#raw);
      this.#raw += this.#decoder.decode(value, { stream: true });
    }
  }
}

/** A stream under way: the provider's end of it and the client's. */
export interface BegunStream {
  exchange: FakeExchange;
  stream: OpenStream;
}

/** Asks for a stream and reads on until its first piece, `content`, was delivered. */
export async function beginStream(
  gateway: Pick<TestGateway, 'post'>,
  upstream: FakeProvider,
  key: TestKey,
  content: string,
): Promise<BegunStream> {
  const held = upstream.hold();
  const answer = gateway.post('/v1/chat/completions', chat({ stream: true, max_tokens: 300 }), key);
  const exchange = await held;
  exchange.startStream();
  await exchange.content(content);
  const stream = new OpenStream(await answer);
  await stream.until(content);
  return { exchange, stream };
}

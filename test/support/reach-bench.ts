import { jest } from '@jest/globals';
import { EventEmitter } from 'node:events';
import type { ServerResponse } from 'node:http';
import type { PicoUsdPerMsat } from '../../src/amount.ts';
import type { Call, Ending, Grant, Plan } from '../../src/completions/call.ts';
import { Cancellation } from '../../src/completions/cancellation.ts';
import { ClientStream } from '../../src/completions/client-stream.ts';
import { deliver } from '../../src/completions/deliver.ts';
import { reach, type ReachDeps } from '../../src/completions/reach.ts';
import { Trail } from '../../src/completions/trail.ts';
import type { Deployment } from '../../src/models/deployment.ts';
import type { Abort } from '../../src/providers/abort.ts';
import { ProviderError } from '../../src/providers/provider-error.ts';
import type { BodyReader, UpstreamAnswer } from '../../src/providers/provider.ts';
import type { AttemptOutcome, Gate, Pass, Shut } from '../../src/routing/gate.ts';
import { openAiChat } from '../../src/wires/openai-chat/surface.ts';
import { chatCandidate, readChat } from './chat-request.ts';
import { deployment } from './deployment.ts';

/** Under jest's fake timers. */
export const pass = (ms: number) => jest.advanceTimersByTimeAsync(ms);

/** The client's side: its head, and what was written after it. */
export class FakeClient extends EventEmitter {
  head: string[] = [];
  written = '';
  headersSent = false;
  writableNeedDrain = false;
  writableEnded = false;
  destroyed = false;

  writeHead(_status: number, head: string[]): this {
    this.head = head;
    this.headersSent = true;
    return this;
  }

  write(bytes: Buffer | string): boolean {
    this.written += bytes.toString();
    return true;
  }

  leave(): void {
    this.destroyed = true;
    this.emit('close');
  }
}

/** A provider that a test answers for by hand. */
export class HandProvider {
  readonly demo = false;
  readonly passesHeaders = false;
  aborted = false;
  asked = false;
  reader: BodyReader | undefined;
  #resolve: ((answer: UpstreamAnswer) => void) | undefined;
  #reject: ((error: Error) => void) | undefined;
  readonly id: string;

  constructor(id: string) {
    this.id = id;
  }

  send(_request: unknown, abort: Abort): Promise<UpstreamAnswer> {
    this.asked = true;
    abort.onAbort = () => {
      this.aborted = true;
      this.fail(new ProviderError('aborted', 'the request was aborted'));
    };
    return new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
  }

  /** Sends the head of a stream. */
  async begin(): Promise<void> {
    this.#head(200, 'text/event-stream');
    await pass(0);
  }

  /** Sends a whole answer in JSON. */
  async answer(body: object, status = 200, headers: Record<string, string> = {}): Promise<void> {
    this.#head(status, 'application/json', headers);
    await pass(0);
    this.reader?.data(Buffer.from(JSON.stringify(body)));
    this.reader?.end();
    await pass(0);
  }

  refuse(status: number, headers: Record<string, string> = {}): Promise<void> {
    return this.answer({ error: { message: 'no' } }, status, headers);
  }

  /** Fails where it stands: before its answer or in the midst of it. */
  fail(error: Error): void {
    if (this.reader) this.reader.error(error);
    else this.#reject?.(error);
  }

  tell(...events: string[]): void {
    this.reader?.data(Buffer.from(events.join('')));
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  #head(status: number, type: string, headers: Record<string, string> = {}): void {
    this.#resolve?.({
      status,
      headers: { 'content-type': type, ...headers },
      read: (reader) => (this.reader = reader),
      resume: () => {},
    });
  }
}

/** A gate that lets all through but those that a test shuts out, and keeps count of its passes. */
export class CountingGate implements Gate {
  readonly passes: { provider: string; outcomes: AttemptOutcome[] }[] = [];
  readonly shut = new Map<string, Shut>();

  enter({ provider }: Deployment): Pass | Shut {
    const shut = this.shut.get(provider.id);
    if (shut) return shut;
    const outcomes: AttemptOutcome[] = [];
    this.passes.push({ provider: provider.id, outcomes });
    return { end: (outcome) => void outcomes.push(outcome) };
  }

  /** How each pass was ended: once, or this throws. */
  ended(): { provider: string; outcome: AttemptOutcome }[] {
    return this.passes.map(({ provider, outcomes: [outcome, ...more] }) => {
      if (!outcome || more.length > 0) throw new Error(`the pass of ${provider} was ended ${outcome ? more.length + 1 : 0} times`);
      return { provider, outcome };
    });
  }
}

export interface Bench {
  client: FakeClient;
  stream: ClientStream;
  first: HandProvider;
  second: HandProvider;
  gate: CountingGate;
  call: Call;
  plan: Plan;
  grant: Grant;
  end: Promise<Ending>;
}

export interface BenchOptions {
  stream?: boolean;
  totalMs?: number;
  /** Providers that are shut out. */
  shut?: Record<string, Shut>;
  own?: Plan['own'];
  /** Candidates behind the two. */
  more?: HandProvider[];
  /** Changes the parts before the request goes. */
  prepare?: (bench: Omit<Bench, 'end'>) => void;
}

/** A request under way to the first of two candidates. */
export function start({ stream: asStream = true, totalMs = 120_000, shut = {}, own = null, more = [], prepare }: BenchOptions = {}): Bench {
  const client = new FakeClient();
  const stream = new ClientStream(client as unknown as ServerResponse, { head: () => ['nobody'], model: null });
  const [first, second] = [new HandProvider('first'), new HandProvider('second')];
  const gate = new CountingGate();
  for (const [id, why] of Object.entries(shut)) gate.shut.set(id, why);
  const request = readChat(JSON.stringify({ messages: [{ role: 'user', content: 'hi' }], stream: asStream }));
  const call = {
    requestId: 'id',
    apiKey: { accountId: 'account' },
    head: [],
    surface: openAiChat,
    request,
    clientRequestId: undefined,
    picoUsdPerMsat: 1n as PicoUsdPerMsat,
    client: asStream ? stream : null,
    trail: new Trail({ observe: () => {}, requestId: 'r', surface: openAiChat.wire, path: '/v1/chat/completions', traceparent: undefined }),
  } as unknown as Call;
  const candidates = [first, second, ...more].map((provider) => chatCandidate(request, deployment({ provider, model: provider.id })));
  const plan = { candidates, explored: false, own, quote: { promptTokens: 1 } } as unknown as Plan;
  const grant = {
    hold: { tokens: 100, costPicoUsd: 0n, budgetLeftPicoUsd: 0n, availableMsat: 0n, freeLimit: 0, freeUsed: 0 },
    ticket: { headers: {} },
    lease: { held: () => true, renewed: () => {}, end: () => {} },
    cancellation: new Cancellation(),
    copy: null,
    asked: [],
  } as unknown as Grant;
  const deps = {
    config: { UPSTREAM_TIMEOUT_SECONDS: totalMs / 1000, markupBasisPoints: 0n },
    gate,
    accountHashOf: () => '',
  } as unknown as ReachDeps;
  prepare?.({ client, stream, first, second, gate, call, plan, grant });
  const end = reach(deps, call, plan, grant)
    .then((leg) => deliver(leg, grant))
    .finally(() => stream.close());
  return { client, stream, first, second, gate, call, plan, grant, end };
}

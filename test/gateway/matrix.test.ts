import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { WireName } from '../../src/wires/wire.ts';
import { decode, type Decoded } from '../support/decoded-answer.ts';
import { replay, startFakeUpstream, type FakeUpstream } from '../support/fake-upstream.ts';
import { startGateway, type TestGateway, type TestKey } from '../support/gateway.ts';
import { holdsOf, type HoldRow } from '../support/ledger.ts';
import { GENERATING, OUTPUT_CAP, PATHS, SURFACES, surfaceRequest, type SurfaceName } from '../support/surface-requests.ts';
import { PROVIDERS, transcriptBytes, transcriptsOf, wireOf, type Transcript } from '../support/transcripts.ts';

/** Every recorded answer of every provider, asked for on every surface: what the client gets of it, and what it costs. */

/** In pico-dollars a token: every bucket has a price of its own, so that none can be taken for another. */
const PRICES = { input: 1_100_003n, cacheRead: 170_001n, cacheWrite: 2_900_007n, output: 7_300_009n };
const FUNDED_SATS = 1_000_000;
const PICO_USD_PER_MSAT = 1_000_000n;

/** A recording that holds the answers of several turns is read up to the end of the first one. */
const SEVERAL_TURNS = 'openai-responses/encrypted-reasoning-stream.sse';
function firstAnswerOf(file: string): Buffer {
  const bytes = transcriptBytes(file);
  return file === SEVERAL_TURNS ? bytes.subarray(0, bytes.indexOf('\n\n', bytes.indexOf('event: response.completed')) + 2) : bytes;
}

interface Case extends Transcript {
  readonly name: string;
  readonly surface: SurfaceName;
  readonly upstreamWire: WireName;
  readonly stream: boolean;
  readonly recorded: Buffer;
}

const all: Case[] = PROVIDERS.flatMap(transcriptsOf)
  .filter((entry) => GENERATING.includes(wireOf(entry)) && !/count-tokens|embeddings/.test(entry.file))
  .flatMap((entry) =>
    SURFACES.map((surface) => ({
      ...entry,
      name: `${entry.file} on ${surface}`,
      surface,
      upstreamWire: wireOf(entry),
      stream: entry.file.endsWith('.sse'),
      recorded: firstAnswerOf(entry.file),
    })),
  );
const whole = all.filter(({ status, file }) => status === 200 && !file.includes('error-in-stream'));

/** What the recorded answer says, by a reading of its own. */
function saidIn({ upstreamWire, recorded, stream }: Case): Decoded {
  return decode(upstreamWire, recorded, stream);
}

/** A prompt as long as the answer says that it was, and the tools that it calls. */
function requestFor(one: Case): object {
  const { surface, upstreamWire, stream, usage } = one;
  const tokens = usage ? usage.uncachedInput + usage.cachedRead + usage.cacheWrite : 0;
  const tools = [...new Set(saidIn(one).calls.map(({ name }) => name))];
  return surfaceRequest(surface, { model: `pureai/${upstreamWire}`, prompt: `Do it.${' '.repeat(tokens)}`, stream, tools });
}

interface Outcome {
  readonly status: number;
  readonly headers: Headers;
  readonly body: string;
  /** What the client was told of the money. */
  readonly told: { cost_msat: number; charged_msat: number; request_id: string } | null;
}

let upstream: FakeUpstream;
let gateway: TestGateway;
let key: TestKey;
const outcomes = new Map<string, Outcome>();
let holds = new Map<string, HoldRow>();

async function ask(one: Case): Promise<void> {
  upstream.answer(one.name.replaceAll(' ', '_'), replay({ body: one.recorded, contentType: one.contentType, status: one.status }));
  const answer = await gateway.post(PATHS[one.surface], requestFor(one), key, { 'x-client-request-id': one.name.replaceAll(' ', '_') });
  const body = await answer.text();
  const comment = /^: pura (\{.*\})$/m.exec(body)?.[1];
  const [cost, charged] = [answer.headers.get('x-pura-cost-msat'), answer.headers.get('x-pura-charged-msat')];
  const request_id = answer.headers.get('x-pura-request-id') ?? '';
  const told = one.stream
    ? comment === undefined
      ? null
      : (JSON.parse(comment) as Outcome['told'])
    : { cost_msat: Number(cost), charged_msat: Number(charged), request_id };
  outcomes.set(one.name, { status: answer.status, headers: answer.headers, body, told });
}

const AT_ONCE = 24;

(all.length > 0 ? describe : describe.skip)('recorded answers on every surface', () => {
  beforeAll(async () => {
    upstream = await startFakeUpstream();
    const prices = Object.fromEntries(Object.entries(PRICES).map(([name, pico]) => [name, Number(pico) / 1e6])) as Record<
      keyof typeof PRICES,
      number
    >;
    const deployments = GENERATING.map((wire) =>
      upstream.deployment(wire, { prices, contextWindow: 1_000_000, maxOutputTokens: OUTPUT_CAP }),
    );
    gateway = await startGateway({ deployments, env: { FREE_TIER_REQUESTS: '0', BTC_USD: '100000', OPEN_STREAMS_PER_ACCOUNT: '1000' } });
    key = await gateway.newKey({ dailyBudgetUsd: 100_000 });
    await gateway.fund(key, FUNDED_SATS);
    const queue = [...whole];
    const worker = async () => {
      for (let one = queue.shift(); one; one = queue.shift()) await ask(one);
    };
    await Promise.all(Array.from({ length: AT_ONCE }, worker));
    holds = new Map((await holdsOf(gateway.pool, key.accountId)).map((hold) => [hold.request_id, hold]));
  });

  afterAll(async () => {
    expect(await gateway.audit()).toEqual([]);
    await gateway.close();
    await upstream.close();
  });

  describe('that ended whole', () => {
    it.each(whole)('$name: is told as it was meant', (one) => {
      const { status, body } = outcomes.get(one.name) as Outcome;
      expect({ status, body: status === 200 ? '' : body }).toEqual({ status: 200, body: '' });
      const said = saidIn(one);
      const { calls, ...rest } = decode(one.surface, body, one.stream);
      const usage = shownUsageOf(one) ?? rest.usage;
      expect(rest).toEqual({ text: said.text, reasoning: said.reasoning, finish: said.finish, usage, failed: false });
      expect(calls).toEqual(said.calls.map((call) => callOn(one, call)));
    });

    it.each(whole)('$name: costs what its tokens cost', (one) => {
      const { told, headers } = outcomes.get(one.name) as Outcome;
      const hold = holds.get(headers.get('x-pura-request-id') ?? '');
      const usage = usageOf(one);
      const pico = usage
        ? BigInt(usage.input) * PRICES.input +
          BigInt(usage.cacheRead) * PRICES.cacheRead +
          BigInt(usage.cacheWrite) * PRICES.cacheWrite +
          BigInt(usage.output) * PRICES.output
        : (hold?.posted_pico_usd ?? 0n);
      const msat = (pico + PICO_USD_PER_MSAT - 1n) / PICO_USD_PER_MSAT;
      expect({ state: hold?.state, pico: hold?.posted_pico_usd, msat: hold?.posted_msat }).toEqual({ state: 'posted', pico, msat });
      expect(told).toMatchObject({ cost_msat: Number(msat), charged_msat: Number(msat), request_id: hold?.request_id });
      expect(pico).toBeGreaterThan(0n);
    });

    const own = whole.filter(({ stream, surface, upstreamWire }) => stream && surface === upstreamWire);
    it.each(own)('$name: byte for byte, but for what ends it', (one) => {
      const { body } = outcomes.get(one.name) as Outcome;
      const written = [body.lastIndexOf('\n\n: pura '), body.lastIndexOf('\n\ndata: ', body.indexOf('"total_cost_msat"'))];
      const cut = Math.min(...written.filter((at) => at >= 0)) + 2;
      const [got, rest] = [Buffer.from(body).subarray(0, cut), one.recorded.subarray(cut)];
      expect(got.toString()).toBe(one.recorded.subarray(0, cut).toString());
      const { text, reasoning, calls } = decode(one.upstreamWire, rest, true);
      expect({ text, reasoning, calls }).toEqual({ text: '', reasoning: '', calls: [] });
    });

    it('adds up: in the report, in the list of requests and in the balance', async () => {
      const charged = [...outcomes.values()].reduce((sum, { told }) => sum + (told?.charged_msat ?? 0), 0);
      const report = (await (await gateway.get('/api/report', key)).json()) as Record<string, unknown>;
      expect(report).toMatchObject({ totalSpendMsat: charged, totalChargedMsat: charged, requestCount: whole.length });
      const { balanceMsat, reservedMsat } = (await (await gateway.get('/api/wallet/balance', key)).json()) as Record<string, number>;
      expect({ balanceMsat, reservedMsat }).toEqual({ balanceMsat: FUNDED_SATS * 1000 - charged, reservedMsat: 0 });
    });
  });
});

/** The tokens that are paid for. */
function usageOf(one: Case): Decoded['usage'] {
  if (one.file === SEVERAL_TURNS) return saidIn(one).usage;
  const { usage } = one;
  // Where the provider counts no prompt at all, our own count takes the place.
  if (usage && usage.uncachedInput + usage.cachedRead + usage.cacheWrite === 0) return null;
  return usage && { input: usage.uncachedInput, cacheRead: usage.cachedRead, cacheWrite: usage.cacheWrite, output: usage.output };
}

/** The tokens that the client is told: in a stream of the provider's own wire they are as the provider tells them. */
function shownUsageOf(one: Case): Decoded['usage'] {
  return one.stream && one.surface === one.upstreamWire && one.surface !== 'openai-chat' ? saidIn(one).usage : usageOf(one);
}

/** The id of a call that the provider gave none, or one that the surface cannot say. */
const MADE_ID = expect.stringMatching(/^[\w-]{5,}$/);

/** A tool call as a surface says it. */
function callOn({ surface, upstreamWire }: Case, { id, name, input }: Decoded['calls'][number]): object {
  // What is no JSON was free text, which this wire has no calls for.
  const said = surface === 'anthropic-messages' && upstreamWire === 'openai-responses' && typeof input === 'string' ? { input } : input;
  const sayable = surface !== 'anthropic-messages' || /^[\w-]*$/.test(id ?? '');
  const made = surface === upstreamWire ? null : MADE_ID;
  return { id: id !== null && sayable ? id : made, name, input: said };
}

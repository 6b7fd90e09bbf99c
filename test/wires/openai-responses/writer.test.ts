import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import OpenAI from 'openai';
import type { Answer, BlockHead, FinishReason, StreamPart } from '../../../src/wires/answer.ts';
import type { Part } from '../../../src/wires/generation.ts';
import { responseEvents } from '../../../src/wires/openai-responses/events.ts';
import { ResponsesPartReader } from '../../../src/wires/openai-responses/parts.ts';
import { openAiResponses } from '../../../src/wires/openai-responses/surface.ts';
import { UPSTREAMS } from '../../../src/wires/upstreams.ts';
import type { Usage } from '../../../src/wires/usage.ts';
import type { WireName } from '../../../src/wires/wire.ts';
import { checkEventOrder } from './event-order.ts';
import { blocksOf, bytesOf, everyStream } from './recorded.ts';
import { CONTEXT, requestOf } from './requests.ts';

const everyRecorded = everyStream(Object.keys(UPSTREAMS));
const TOOLS = [
  { type: 'function', name: 'weather', parameters: { type: 'object' } },
  { type: 'custom', name: 'patch' },
  { type: 'namespace', name: 'agents', description: 'd', tools: [{ type: 'function', name: 'close', parameters: { type: 'object' } }] },
];
const REQUEST = requestOf({ model: 'm', input: 'x', tools: TOOLS, include: ['reasoning.encrypted_content'], temperature: 0.5 });
const BILLED: Usage = { input: 5, cacheRead: 3, cacheWrite: 0, cacheWriteLong: 0, output: 7, reasoning: 2 };
const FIGURES = { billed: BILLED, costs: { total_cost_msat: 12 } };
const SIGNATURE = { wire: 'gemini-generate' as WireName, value: 'sig' };

function write(parts: readonly StreamPart[], request = REQUEST): string {
  const writer = openAiResponses.writer(request, CONTEXT);
  const text = parts.map((part) => writer.write(part)).join('');
  const { usage, last } = writer.ending(FIGURES);
  return text + usage.toString() + last.toString();
}

/** The same parts as a whole answer. */
function answerOf(parts: readonly StreamPart[]): Answer {
  const texts = blocksOf(parts);
  const heads = parts.flatMap((part) => (part.type === 'block_start' ? [part.head] : []));
  const said = heads.map((head, at): Part => {
    const { text = '', signature } = texts[at] ?? {};
    const signed = signature ? { signature: SIGNATURE } : {};
    if (head.type === 'tool_call') return { ...head, input: text, ...signed };
    return { ...head, text, ...signed };
  });
  const finish = parts.flatMap((part) => (part.type === 'finish' ? [part.finish] : []))[0] ?? { reason: 'stop' };
  return { completions: [{ index: 0, parts: said, finish }], usage: { ...BILLED } };
}

const heads: fc.Arbitrary<BlockHead> = fc.oneof(
  fc.constantFrom<BlockHead>({ type: 'text' }, { type: 'refusal' }, { type: 'reasoning' }, { type: 'reasoning', redacted: SIGNATURE }),
  fc.record({
    type: fc.constant('tool_call' as const),
    id: fc.constantFrom('', 'call_1', 'toolu_2'),
    name: fc.constantFrom('weather', 'patch', 'agents__close', 'unknown'),
    kind: fc.constantFrom('function' as const, 'custom' as const),
  }),
);
const streams = fc
  .tuple(
    fc.array(fc.tuple(heads, fc.array(fc.string({ maxLength: 8 }), { maxLength: 4 }), fc.boolean()), { maxLength: 6 }),
    fc.constantFrom<FinishReason>('stop', 'length', 'tool_calls', 'content_filter', 'refusal', 'pause', 'error'),
  )
  .map(([blocks, reason]): StreamPart[] => [
    { type: 'start' },
    ...blocks.flatMap(([head, deltas, isSigned], block): StreamPart[] => [
      { type: 'block_start', block, completion: 0, head },
      ...deltas.map((text): StreamPart => ({ type: 'delta', block, text })),
      ...(isSigned ? [{ type: 'signature' as const, block, signature: SIGNATURE }] : []),
      { type: 'block_end', block },
    ]),
    { type: 'finish', completion: 0, finish: { reason } },
    { type: 'done' },
  ]);

describe('the events of a stream', () => {
  it('are in order whatever comes, and hold what a whole answer would', () => {
    fc.assert(
      fc.property(streams, (parts) => {
        const last = checkEventOrder(write(parts));
        const body = openAiResponses.withFigures(openAiResponses.body(answerOf(parts), REQUEST, CONTEXT), FIGURES, CONTEXT);
        expect(last).toEqual(body);
      }),
    );
  });

  (everyRecorded.length > 0 ? it : it.skip).each(everyRecorded)('are in order for $file', ({ file, wire }) => {
    const reader = UPSTREAMS[wire as WireName]?.parts() ?? new ResponsesPartReader();
    const parts = [...reader.push(bytesOf(file)), ...reader.finish()].filter(({ type }) => type !== 'failed');
    const stream = write(parts, requestOf({ input: 'x', include: ['reasoning.encrypted_content'] }));
    const said = blocksOf(parts).map(({ text }) => text);
    const last = JSON.stringify(checkEventOrder(stream)['output']);
    for (const text of said) expect(last).toContain(JSON.stringify(text).slice(1, -1));
    expect(responseEvents.isDelivery(Buffer.from(stream))).toBe(true);
  });

  it.each(['', ' ', '\n\t'])('have arguments that are JSON where a call has none but %j', (blanks) => {
    const head: BlockHead = { type: 'tool_call', id: 'c', name: 'weather', kind: 'function' };
    const last = checkEventOrder(
      write([
        { type: 'start' },
        { type: 'block_start', block: 0, completion: 0, head },
        ...(blanks === '' ? [] : [{ type: 'delta' as const, block: 0, text: blanks }]),
        { type: 'block_end', block: 0 },
        { type: 'finish', completion: 0, finish: { reason: 'tool_calls' } },
        { type: 'done' },
      ]),
    );
    const [call] = last['output'] as { arguments: string }[];
    expect(JSON.parse(call?.arguments ?? '')).toEqual({});
  });

  it('say nothing that counts as delivery before something was written', () => {
    const writer = openAiResponses.writer(REQUEST, CONTEXT);
    const begin = writer.write({ type: 'start' });
    expect(begin).toContain('response.created');
    expect(responseEvents.isDelivery(Buffer.from(begin))).toBe(false);
    writer.write({ type: 'block_start', block: 0, completion: 0, head: { type: 'text' } });
    expect(responseEvents.isDelivery(Buffer.from(writer.write({ type: 'delta', block: 0, text: 'a' })))).toBe(true);
  });

  it('show sealed thoughts only where the client asked for them', () => {
    const parts: StreamPart[] = [
      { type: 'block_start', block: 0, completion: 0, head: { type: 'reasoning', redacted: SIGNATURE } },
      { type: 'block_end', block: 0 },
      { type: 'finish', completion: 0, finish: { reason: 'stop' } },
    ];
    expect(write(parts)).toContain('pura-redacted:pura:gemini-generate:sig');
    expect(checkEventOrder(write(parts, requestOf({ input: 'x' })))['output']).toEqual([]);
  });

  it('turn names back', () => {
    const call = (block: number, name: string, text: string): StreamPart[] => [
      { type: 'block_start', block, completion: 0, head: { type: 'tool_call', id: `c${block}`, name, kind: 'function' } },
      { type: 'delta', block, text: text.slice(0, 5) },
      { type: 'delta', block, text: text.slice(5) },
      { type: 'block_end', block },
    ];
    const { output } = checkEventOrder(write([...call(0, 'agents__close', '{"a":1}'), ...call(2, 'weather', '')]));
    expect(output).toMatchObject([
      { type: 'function_call', name: 'close', namespace: 'agents', arguments: '{"a":1}', call_id: 'c0' },
      { type: 'function_call', name: 'weather', arguments: '{}', call_id: 'c2' },
    ]);
  });

  it('end with the billed figures and the costs', () => {
    const last = checkEventOrder(
      write([
        { type: 'usage', usage: { ...BILLED, output: 6 } },
        { type: 'finish', completion: 0, finish: { reason: 'length' } },
      ]),
    );
    expect(last).toMatchObject({
      status: 'incomplete',
      incomplete_details: { reason: 'max_output_tokens' },
      store: false,
      temperature: 0.5,
    });
    expect(last['usage']).toEqual({
      input_tokens: 8,
      input_tokens_details: { cached_tokens: 3, cache_write_tokens: 0 },
      output_tokens: 7,
      output_tokens_details: { reasoning_tokens: 2 },
      total_tokens: 15,
      total_cost_msat: 12,
    });
  });
});

/** The published client against a server that answers with what was written. */
async function withClient<Result>(reply: string, contentType: string, use: (client: OpenAI) => Promise<Result>): Promise<Result> {
  const server = createServer((_, res) => res.writeHead(200, { 'content-type': contentType }).end(reply));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  try {
    const { port } = server.address() as AddressInfo;
    return await use(new OpenAI({ apiKey: 'k', baseURL: `http://127.0.0.1:${port}/v1`, maxRetries: 0 }));
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

describe('the published OpenAI client', () => {
  const parts: StreamPart[] = [
    { type: 'start' },
    { type: 'block_start', block: 0, completion: 0, head: { type: 'reasoning' } },
    { type: 'delta', block: 0, text: 'Let me think.' },
    { type: 'signature', block: 0, signature: SIGNATURE },
    { type: 'block_end', block: 0 },
    { type: 'block_start', block: 1, completion: 0, head: { type: 'text' } },
    { type: 'delta', block: 1, text: 'It is ' },
    { type: 'delta', block: 1, text: 'sunny.' },
    { type: 'block_end', block: 1 },
    { type: 'block_start', block: 2, completion: 0, head: { type: 'tool_call', id: 'call_1', name: 'weather', kind: 'function' } },
    { type: 'delta', block: 2, text: '{"city":' },
    { type: 'delta', block: 2, text: '"Bern"}' },
    { type: 'block_end', block: 2 },
    { type: 'block_start', block: 3, completion: 0, head: { type: 'tool_call', id: 'call_2', name: 'patch', kind: 'custom' } },
    { type: 'delta', block: 3, text: '*** Begin' },
    { type: 'block_end', block: 3 },
    { type: 'finish', completion: 0, finish: { reason: 'tool_calls' } },
    { type: 'done' },
  ];

  it('reads a stream with its helper, and its last response is the last event', async () => {
    const stream = write(parts);
    const { deltas, final } = await withClient(stream, 'text/event-stream', async (client) => {
      const reading = client.responses.stream({ model: 'm', input: 'x' });
      const seen: string[] = [];
      reading.on('response.output_text.delta', ({ delta }) => seen.push(delta));
      return { deltas: seen, final: await reading.finalResponse() };
    });
    expect(deltas).toEqual(['It is ', 'sunny.']);
    expect(final.output_text).toBe('It is sunny.');
    expect(final).toMatchObject(checkEventOrder(stream));
  });

  it('reads a body', async () => {
    const body = openAiResponses.body(answerOf(parts), REQUEST, CONTEXT);
    const response = await withClient(JSON.stringify(body), 'application/json', (client) =>
      client.responses.create({ model: 'm', input: 'x' }),
    );
    expect(response.output_text).toBe('It is sunny.');
    expect(response.output.map(({ type }) => type)).toEqual(['reasoning', 'message', 'function_call', 'custom_tool_call']);
  });

  it('raises an error in a stream with its message', async () => {
    const begun = openAiResponses.writer(REQUEST, CONTEXT).write({ type: 'start' });
    const error = { error: { message: 'Pay at https://x/invoice', type: 'api_error', code: 'upstream_error', param: null } };
    const text = begun + openAiResponses.errorEvents(error, CONTEXT.requestId);
    expect(text).toContain('event: response.failed');
    const failing = withClient(text, 'text/event-stream', (client) => client.responses.stream({ model: 'm', input: 'x' }).finalResponse());
    await expect(failing).rejects.toThrow('Pay at https://x/invoice');
    expect(responseEvents.isDelivery(Buffer.from(text))).toBe(false);
  });
});

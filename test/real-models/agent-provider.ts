import { event, finishEvent, startFakeProvider, usageEvent, type FakeExchange, type FakeProvider } from '../support/fake-provider.ts';

/** The tools by which agents read a file, and what each wants to be told. */
const READERS: Readonly<Record<string, (file: string) => object>> = {
  exec_command: (file) => ({ cmd: `cat ${file}` }),
  Read: (file) => ({ file_path: file }),
};
const USAGE = { prompt_tokens: 1_000, completion_tokens: 20, total_tokens: 1_020 };

interface Message {
  role: string;
  content: unknown;
}

/**
 * A stand-in for a model that has one idea: it reads `file` with the tool that the agent offers for that, and then says what the tool
 * told it. To whom offers no such tool it says "Fine.".
 */
export async function startAgentProvider(file: string): Promise<FakeProvider> {
  const provider = await startFakeProvider();
  provider.always(async (exchange) => {
    const { messages = [], tools = [] } = exchange.body as { messages?: Message[]; tools?: { function?: { name?: string } }[] };
    const told = messages.findLast(({ role }) => role === 'tool');
    if (told) return exchange.stream([`The tool said: ${textOf(told.content)}`], { usage: USAGE });
    const tool = tools.map((each) => each.function?.name ?? '').find((name) => READERS[name]);
    if (!tool) return exchange.stream(['Fine.'], { usage: USAGE });
    return callTool(exchange, tool, JSON.stringify(READERS[tool]?.(file)));
  });
  return provider;
}

/** The arguments come in two pieces, as they do from real models. */
async function callTool(exchange: FakeExchange, name: string, args: string): Promise<void> {
  const call = (members: object) =>
    event({ choices: [{ index: 0, delta: { tool_calls: [{ index: 0, ...members }] }, finish_reason: null }] });
  exchange.startStream();
  await exchange.send(call({ id: 'call_read', type: 'function', function: { name, arguments: args.slice(0, 5) } }));
  await exchange.send(call({ function: { arguments: args.slice(5) } }));
  await exchange.send(finishEvent('tool_calls'));
  await exchange.send(usageEvent(USAGE));
  await exchange.send('data: [DONE]\n\n');
  exchange.end();
}

function textOf(content: unknown): string {
  return typeof content === 'string' ? content : JSON.stringify(content);
}

import type { WireName } from './wire.ts';

/** What a request's members are called on the wire of the client that is told about them. */
export type ClientField =
  'format' | 'effort' | 'verbosity' | 'completions' | 'logprobs' | 'messages' | 'stop' | 'tools' | 'toolChoice' | 'parallelToolCalls';

const CHAT: Readonly<Record<ClientField, string>> = {
  format: 'response_format',
  effort: 'reasoning_effort',
  verbosity: 'verbosity',
  completions: 'n',
  logprobs: 'logprobs',
  messages: 'messages',
  stop: 'stop',
  tools: 'tools',
  toolChoice: 'tool_choice',
  parallelToolCalls: 'parallel_tool_calls',
};

const OTHERS: Readonly<Partial<Record<WireName, Readonly<Partial<Record<ClientField, string>>>>>> = {
  'openai-completions': { messages: 'prompt' },
  'openai-responses': {
    format: 'text.format',
    effort: 'reasoning.effort',
    verbosity: 'text.verbosity',
    logprobs: 'top_logprobs',
    messages: 'input',
  },
  'anthropic-messages': {
    format: 'output_config.format',
    effort: 'output_config.effort',
    stop: 'stop_sequences',
    parallelToolCalls: 'tool_choice.disable_parallel_tool_use',
  },
};

export function clientField(wire: WireName, field: ClientField): string {
  return OTHERS[wire]?.[field] ?? CHAT[field];
}

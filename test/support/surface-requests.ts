import type { WireName } from '../../src/wires/wire.ts';

/** The surfaces on which models answer, and their paths. */
export const SURFACES = ['openai-chat', 'openai-responses', 'anthropic-messages'] as const;
export type SurfaceName = (typeof SURFACES)[number];
export const PATHS: Readonly<Record<SurfaceName, string>> = {
  'openai-chat': '/v1/chat/completions',
  'openai-responses': '/v1/responses',
  'anthropic-messages': '/v1/messages',
};

/** The wires in which providers' models answer. */
export const GENERATING: readonly WireName[] = [...SURFACES, 'gemini-generate'];

export const OUTPUT_CAP = 4096;

/** The same request in the words of each surface. On chat the usage is asked for. */
export function surfaceRequest(
  surface: SurfaceName,
  { model, prompt, stream, tools = [] }: { model: string; prompt: string; stream: boolean; tools?: readonly string[] },
): object {
  const parameters = { type: 'object', properties: {} };
  const messages = [{ role: 'user', content: prompt }];
  const withTools = (tool: (name: string) => object) => tools.length > 0 && { tools: tools.map(tool) };
  switch (surface) {
    case 'openai-chat':
      return {
        ...{ model, messages, stream, max_tokens: OUTPUT_CAP },
        ...(stream && { stream_options: { include_usage: true } }),
        ...withTools((name) => ({ type: 'function', function: { name, parameters } })),
      };
    case 'openai-responses':
      return {
        ...{ model, input: prompt, stream, max_output_tokens: OUTPUT_CAP },
        ...withTools((name) => ({ type: 'function', name, parameters })),
      };
    case 'anthropic-messages':
      return { model, messages, stream, max_tokens: OUTPUT_CAP, ...withTools((name) => ({ name, input_schema: parameters })) };
  }
}

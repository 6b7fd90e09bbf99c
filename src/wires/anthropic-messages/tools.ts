import type { Generation, Tool, ToolChoice } from '../generation.ts';
import type { JsonObject } from '../wire.ts';
import { cacheControl } from './content.ts';
import { closedSchema } from './schema.ts';

/** The tools of a request, on the wire; those that its choice leaves out are left out. */
export function wireTools({ tools, toolChoice, messages }: Generation, isStrict: boolean): JsonObject[] {
  const allowed = toolChoice && 'allowed' in toolChoice ? toolChoice.allowed : undefined;
  const offered = allowed ? tools.filter(({ name }) => allowed.includes(name)) : tools;
  if (offered.length > 0) return offered.map((tool) => wireTool(tool, isStrict));
  // A conversation with calls needs tools, even where none may be called any more.
  const called = messages.flatMap(({ parts }) => parts.flatMap((part) => (part.type === 'tool_call' ? [part.name] : [])));
  return [...new Set(called)].map((name) => ({ name, input_schema: { type: 'object' } }));
}

function wireTool({ name, description, parameters, strict, cache }: Tool, isStrict: boolean): JsonObject {
  const schema = { ...parameters, type: 'object' };
  const enforced = strict === true && isStrict;
  return {
    name,
    ...(description !== undefined && description !== '' && { description }),
    input_schema: enforced ? closedSchema(schema) : schema,
    ...(enforced && { strict }),
    ...cacheControl(cache),
  };
}

/** The member `tool_choice`, beside tools; undefined where the API's default is meant. */
export function wireToolChoice({ tools, toolChoice, parallelToolCalls }: Generation): JsonObject | undefined {
  if (tools.length === 0) return { type: 'none' };
  const alone = parallelToolCalls === false ? { disable_parallel_tool_use: true } : {};
  if (!toolChoice) return parallelToolCalls === false ? { type: 'auto', ...alone } : undefined;
  switch (toolChoice.mode) {
    case 'auto':
      return { type: 'auto', ...alone };
    case 'required':
      return { type: 'any', ...alone };
    case 'named':
      return { type: 'tool', name: toolChoice.name, ...alone };
    case 'none':
      return { type: 'none' };
  }
}

export function forcesTool(choice: ToolChoice | null): boolean {
  return choice?.mode === 'required' || choice?.mode === 'named';
}

import type { Generation, Tool, ToolChoice } from '../generation.ts';
import type { JsonObject } from '../wire.ts';
import { parametersSchema } from './schema.ts';

/** The tools of a request and how they may be called, as members of the body; none where there are no tools. */
export function toolMembers({ tools, toolChoice }: Generation): JsonObject {
  const offered = offeredTools(tools, toolChoice);
  if (offered.length === 0) return {};
  return {
    tools: [{ functionDeclarations: offered.map(declaration) }],
    ...(toolChoice && { toolConfig: { functionCallingConfig: callingConfig(toolChoice) } }),
  };
}

/** A choice that is narrowed without being forced has no words here: the others are not offered. */
function offeredTools(tools: readonly Tool[], choice: ToolChoice | null): readonly Tool[] {
  return choice?.mode === 'auto' && choice.allowed ? tools.filter(({ name }) => choice.allowed?.includes(name)) : tools;
}

function declaration({ name, description, parameters }: Tool): JsonObject {
  return { name, ...(description && { description }), ...(parameters && { parametersJsonSchema: parametersSchema(parameters) }) };
}

function callingConfig(choice: ToolChoice): JsonObject {
  switch (choice.mode) {
    case 'auto':
      return { mode: 'AUTO' };
    case 'none':
      return { mode: 'NONE' };
    case 'required':
      return { mode: 'ANY', ...(choice.allowed && { allowedFunctionNames: choice.allowed }) };
    case 'named':
      return { mode: 'ANY', allowedFunctionNames: [choice.name] };
  }
}

/** The tools that a choice forces one of to be called; null where it forces none. */
export function forcedTools({ tools, toolChoice }: Generation): readonly string[] | null {
  const names = tools.map(({ name }) => name);
  if (toolChoice?.mode === 'named') return names.filter((name) => name === toolChoice.name);
  if (toolChoice?.mode !== 'required') return null;
  return toolChoice.allowed ? names.filter((name) => toolChoice.allowed?.includes(name)) : names;
}

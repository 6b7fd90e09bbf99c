import { isObject, objectsIn, textIn } from '../json-object.ts';
import type { JsonObject } from '../wire.ts';
import { at, fault, type Fault } from '../fault.ts';
import { faultInList, faultInTexts } from './checks.ts';

const MOST_TOOLS = 1024;

/**
 * Whether a tool is run by the client. All others run at the provider, which takes money for each call: a tool of an unknown type is taken
 * for one of those.
 */
export function isRunByClient(tool: JsonObject): boolean {
  switch (tool['type']) {
    case 'function':
    case 'custom':
    case 'namespace':
    case 'local_shell':
    case 'apply_patch':
      return true;
    case 'tool_search':
      return tool['execution'] === 'client';
    case 'shell':
      return isObject(tool['environment']) && tool['environment']['type'] === 'local';
    default:
      return false;
  }
}

/** Whether a client runs a tool that only this wire has a word for. */
export function isLocalTool(tool: JsonObject): boolean {
  return isRunByClient(tool) && !['function', 'custom', 'namespace'].includes(textIn(tool['type']));
}

/** The types of the tools that run at the provider: they are only offered, so they are left out and named. */
export function hostedTypes(tools: unknown): string[] {
  const hosted = objectsIn(tools).filter((tool) => !isRunByClient(tool));
  return [...new Set(hosted.map(({ type }) => textIn(type)))];
}

export function faultInTools(value: unknown): Fault | null {
  return faultInList(value, faultInTool, { max: MOST_TOOLS, of: 'tools' });
}

/** Tools that stand in an item of the input: nothing is left out of a conversation, so all must be the client's own. */
export function faultInItemTools(value: unknown): Fault | null {
  return faultInList(value, (tool) => faultInTool(tool) ?? faultInHosted(tool as JsonObject), { max: MOST_TOOLS, of: 'tools' });
}

function faultInHosted(tool: JsonObject): Fault | null {
  return isRunByClient(tool) ? null : fault(`${textIn(tool['type'])} is not supported here: it runs at the provider`, 'type');
}

function faultInTool(tool: unknown): Fault | null {
  if (!isObject(tool)) return fault('must be an object');
  const { type } = tool;
  if (type === 'function') return faultInFunction(tool);
  if (type === 'custom') return faultInTexts(tool, 'name');
  if (type === 'namespace') {
    const inner = faultInList(tool['tools'], faultInInnerTool, { max: MOST_TOOLS, of: 'tools' });
    return faultInTexts(tool, 'name') ?? at('tools', inner);
  }
  return faultInTexts(tool, 'type');
}

function faultInInnerTool(tool: unknown): Fault | null {
  const type = isObject(tool) ? tool['type'] : undefined;
  return type === 'function' || type === 'custom' ? faultInTool(tool) : fault('must be function or custom', 'type');
}

function faultInFunction(tool: JsonObject): Fault | null {
  const parameters = tool['parameters'] ?? null;
  if (parameters !== null && !isObject(parameters)) return fault('must be a JSON schema', 'parameters');
  return faultInTexts(tool, 'name');
}

/** A choice among the tools. One that runs at the provider cannot be forced, since none is offered. */
export function faultInToolChoice(value: unknown): Fault | null {
  if (value === 'auto' || value === 'none' || value === 'required') return null;
  if (!isObject(value)) return fault('must be auto, none, required or an object');
  const { type } = value;
  if (type === 'function' || type === 'custom') return faultInTexts(value, 'name');
  if (type === 'allowed_tools') {
    if (value['mode'] !== 'auto' && value['mode'] !== 'required') return fault('must be auto or required', 'mode');
    return at('tools', faultInList(value['tools'], faultInAllowed, { min: 1, max: MOST_TOOLS, of: 'tools' }));
  }
  return fault(`${textIn(type) || 'this'} cannot be forced`, 'type');
}

function faultInAllowed(tool: unknown): Fault | null {
  if (!isObject(tool)) return fault('must be an object');
  if (tool['type'] === 'function' || tool['type'] === 'custom') return faultInTexts(tool, 'name');
  return fault('must be function or custom', 'type');
}

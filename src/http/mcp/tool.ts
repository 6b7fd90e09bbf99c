import type { CallToolResult, McpServer } from '@modelcontextprotocol/server';
import type { z } from 'zod';
import type { ApiKey } from '../../accounts/api-key.ts';
import { GatewayError } from '../../errors.ts';
import { publicError } from '../server/error-response.ts';
import type { RefusalLog } from '../server/refusal-log.ts';
import type { ToolDeps } from './tools.ts';

/** Who calls a tool. */
export interface Caller {
  /** Null without a credential. */
  readonly key: ApiKey | null;
  /** Scheme and host of the gateway as the caller reaches it. */
  readonly origin: string;
  readonly requestId: string;
}

/** A caller with a key. */
export type KnownCaller = Caller & { readonly key: ApiKey };

/** What a tool tells: figures for programs, and for those that show text a sentence before them where figures alone do not say what to do. */
export interface Told {
  readonly figures: Record<string, unknown>;
  readonly sentence?: string;
}

interface ToolFace<Input extends z.ZodObject> {
  readonly name: string;
  readonly title: string;
  readonly description: string;
  readonly input: Input;
  /** Further members may be there: they are added without notice. */
  readonly output: z.ZodObject;
  /** Whether nothing is other than before once it was called. */
  readonly readsOnly: boolean;
}

/** Something that an agent can ask of the gateway. It throws what its caller is to be told. */
export type Tool<Input extends z.ZodObject = z.ZodObject> = ToolFace<Input> &
  (
    | { readonly needsKey: true; run(deps: ToolDeps, args: z.output<Input>, caller: KnownCaller): Promise<Told> }
    | { readonly needsKey: false; run(deps: ToolDeps, args: z.output<Input>, caller: Caller): Promise<Told> }
  );

/** A tool whose arguments its own schema has read. */
export function tool<Input extends z.ZodObject>(made: Tool<Input>): Tool {
  return made;
}

interface Calling {
  readonly deps: ToolDeps;
  readonly caller: Caller;
  readonly refusals: RefusalLog;
}

/** Offers a tool to the caller of one request. */
export function register(server: McpServer, offered: Tool, { deps, caller, refusals }: Calling): void {
  const { name, title, description, input, output, readsOnly } = offered;
  const annotations = { title, readOnlyHint: readsOnly, destructiveHint: false, idempotentHint: readsOnly, openWorldHint: false };
  server.registerTool(name, { title, description, inputSchema: input, outputSchema: output, annotations }, async (args) => {
    try {
      return resultOf(await run(offered, deps, args, caller));
    } catch (thrown) {
      const error = publicError(thrown);
      refusals.write(error, caller.requestId);
      return failureOf(error);
    }
  });
}

function run(offered: Tool, deps: ToolDeps, args: Record<string, unknown>, caller: Caller): Promise<Told> {
  if (!offered.needsKey) return offered.run(deps, args, caller);
  const { key, origin } = caller;
  if (key) return offered.run(deps, args, { ...caller, key });
  const message =
    'This tool needs a key. Have your client send the header "Authorization: Bearer pura_…" to this server. ' +
    `POST ${origin}/api/keys makes one, without a name or a card.`;
  throw new GatewayError('invalid_api_key', { message });
}

function resultOf({ figures, sentence }: Told): CallToolResult {
  const texts = [...(sentence === undefined ? [] : [sentence]), JSON.stringify(figures)];
  return { content: texts.map((text) => ({ type: 'text', text })), structuredContent: figures };
}

/** What went wrong, for a model to act on. */
function failureOf({ code, message, detail: { retryAfter } }: GatewayError): CallToolResult {
  const later = retryAfter === undefined ? '' : ` Try again in ${retryAfter} s.`;
  return { content: [{ type: 'text', text: `${message}${later} (${code})` }], isError: true };
}

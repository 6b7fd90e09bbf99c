import { z } from 'zod';
import { events, type Operation } from '../server/operation.ts';

const message = z
  .looseObject({ jsonrpc: z.literal('2.0'), id: z.union([z.string(), z.number(), z.null()]).optional() })
  .meta({ id: 'JsonRpcMessage' });
const LIST_MODELS = { jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name: 'list_models', arguments: {} } };
const rpc = { 'application/json': { schema: message } };

/** `/mcp`. */
export const MCP_OPERATION = {
  id: 'callTools',
  method: 'post',
  path: '/mcp',
  asker: 'anybody',
  tag: 'Agents',
  summary: 'The Model Context Protocol over streamable HTTP: tools that tell of models, prices and the account',
  description: 'One JSON-RPC message. Without a key some of the tools work, and the others answer that they need one.',
  headers: z.object({
    Accept: z.string().meta({ example: 'application/json, text/event-stream' }),
    'MCP-Protocol-Version': z.string().optional(),
  }),
  body: { content: { 'application/json': { schema: message, example: LIST_MODELS } } },
  answers: {
    200: {
      description: "The message's answer, as JSON or as one server-sent event.",
      content: {
        ...rpc,
        'text/event-stream': { schema: events, example: 'event: message\ndata: {"jsonrpc":"2.0","id":1,"result":{}}\n\n' },
      },
    },
    202: { description: 'A notification was taken.' },
    400: { description: 'No JSON-RPC message that can be understood.', content: rpc },
    404: { description: 'There is no such method.', content: rpc },
    406: { description: '`Accept` must name JSON and server-sent events.', content: rpc },
  },
  errors: [
    'invalid_api_key',
    'not_permitted',
    'rate_limit_exceeded',
    'free_tier_exceeded',
    'insufficient_balance',
    'lightning_unavailable',
  ],
} as const satisfies Operation;

import { createMcpHandler, McpServer, type McpHttpHandler } from '@modelcontextprotocol/server';
import type { Express, Request, RequestHandler } from 'express';
import type { Principal } from '../../accounts/api-key.ts';
import type { Config } from '../../config/config.ts';
import { GatewayError } from '../../errors.ts';
import type { Logger } from '../../log.ts';
import type { Observe } from '../../observation.ts';
import { parseJson } from '../../wires/parse-json.ts';
import { WindowLimit, type Share } from '../../window-limit.ts';
import { VERSION } from '../api/status.ts';
import type { Authenticate } from '../payment/authenticate.ts';
import { clientAddress, sharesOf } from '../server/client-address.ts';
import { crossOrigin } from '../server/cross-origin.ts';
import { hasCredential } from '../server/credential.ts';
import { clientOf } from '../server/forwarded.ts';
import { readBody, refuseOtherTypes } from '../server/json-body.ts';
import { addRoute } from '../server/operation.ts';
import { originOf } from '../server/origin.ts';
import { refuseOtherPages, type OwnPageConfig } from '../server/own-site.ts';
import { RefusalLog } from '../server/refusal-log.ts';
import { MCP_OPERATION } from './mcp-operation.ts';
import { register, type Caller } from './tool.ts';
import { TOOLS, type ToolDeps } from './tools.ts';
import { sendWebResponse, webRequest } from './web-exchange.ts';

export interface McpDeps extends ToolDeps {
  authenticate: Authenticate;
  config: ToolDeps['config'] & OwnPageConfig & Pick<Config, 'RATE_LIMIT_RPM'>;
  log: Logger;
  observe: Observe;
}

const BODY_LIMIT_BYTES = 100 * 1024;
const MINUTE_MS = 60_000;
/** What a model is told of the whole before it looks at the tools. */
const INSTRUCTIONS =
  'Pura serves language models and charges each request in satoshis, paid over the Lightning network. These tools tell what models cost, ' +
  'what an account has and what it used, and make invoices for somebody to pay. None of them spends anything.';

/** The JSON-RPC codes of what is refused before any method is looked for. */
const PARSE_ERROR = -32_700;
const INVALID_REQUEST = -32_600;

/**
 * `POST /mcp`: the Model Context Protocol over streamable HTTP (https://modelcontextprotocol.io/specification), without sessions, for clients
 * of the handshake (2025-03-26 to 2025-11-25) and of 2026-07-28 alike. Without a credential some of the tools work and the others say that
 * they need one: a 401 would have clients look for an OAuth server. One that is wrong is a 401.
 */
export function addMcp(app: Express, deps: McpDeps): void {
  const refusals = new RefusalLog(deps.observe);
  const handler = createMcpHandler(
    ({ authInfo }) => {
      const server = new McpServer(
        { name: 'pura', title: 'Pura', version: VERSION },
        { instructions: INSTRUCTIONS, capabilities: { tools: { listChanged: false } } },
      );
      for (const tool of TOOLS) register(server, tool, { deps, caller: authInfo?.extra?.['caller'] as Caller, refusals });
      return server;
    },
    // Nothing that is told here changes by itself, so nobody needs a stream that waits for changes.
    { maxSubscriptions: 0, onerror: (error) => deps.log.debug({ err: error }, 'an MCP request was refused') },
  );
  const origins = deps.config.CORS_ORIGINS;
  // Pages that the operator has named may read the answers; `*` names nobody, and all other pages are refused.
  if (!origins.includes('*')) app.use('/mcp', crossOrigin(origins));
  addRoute(app, MCP_OPERATION, mcpHandler(deps, handler));
}

function mcpHandler({ authenticate, config }: McpDeps, handler: McpHttpHandler): RequestHandler {
  const limit = { points: config.RATE_LIMIT_RPM, windowMs: MINUTE_MS };
  const [strangers, accounts] = [new WindowLimit(limit), new WindowLimit(limit)];
  return async (req, res) => {
    refuseOtherPages(req, config);
    const known = await callerOf(req, authenticate);
    if (known) takeOne(accounts, [{ name: known.key.accountId, times: 1 }], 'rpm');
    else takeOne(strangers, sharesOf(clientOf(req)), 'address');
    refuseOtherTypes(req);
    const cameWhole = req.complete;
    const holder = known ? { name: known.key.accountId, isKnown: true } : { name: clientAddress(clientOf(req)), isKnown: false };
    const bytes = await readBody(req, BODY_LIMIT_BYTES, { holder });
    // The body may have taken minutes: who asks is who may ask now.
    const principal = known && !cameWhole ? await authenticate(req) : known;
    const message = messageIn(bytes);
    if ('error' in message) {
      res.status(400).set('Cache-Control', 'no-store').json({ jsonrpc: '2.0', id: null, error: message.error });
      return;
    }
    const caller: Caller = {
      key: principal?.key ?? null,
      origin: originOf(req, config.PUBLIC_URL),
      requestId: res.locals['requestId'] as string,
    };
    // The library asks for no credential and gets to see none.
    const authInfo = { token: '', clientId: '', scopes: [], extra: { caller } };
    await sendWebResponse(await handler.fetch(webRequest(req, res), { authInfo, parsedBody: message.value }), res);
  };
}

async function callerOf(req: Request, authenticate: Authenticate): Promise<Principal | null> {
  return hasCredential(req) ? authenticate(req) : null;
}

/** The one message of a body. Several in a list were taken by one revision of the protocol only, and none of its clients needs them. */
function messageIn(bytes: Buffer): { value: object } | { error: { code: number; message: string } } {
  let value: unknown;
  try {
    ({ value } = parseJson(bytes));
  } catch (error) {
    if (!(error instanceof GatewayError)) throw error;
    return { error: { code: PARSE_ERROR, message: error.message } };
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return { value };
  return { error: { code: INVALID_REQUEST, message: 'Send one JSON-RPC message, as an object.' } };
}

function takeOne(limit: WindowLimit, shares: readonly Share[], reached: 'rpm' | 'address'): void {
  const retryAfter = limit.take(shares);
  if (retryAfter === 0) return;
  const whose = reached === 'rpm' ? 'of MCP from one account' : 'from one address without a key';
  throw new GatewayError('rate_limit_exceeded', {
    message: `Rate limit exceeded: ${limit.points} RPM ${whose}`,
    retryAfter,
    limit: reached,
  });
}

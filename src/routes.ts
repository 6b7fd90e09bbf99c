import type { InferenceRoute } from './http/payment/incoming.ts';
import { DISCOVERY_OPERATION } from './http/api/agent-operations.ts';
import { AUTOPAY_OPERATIONS } from './http/api/autopay-operations.ts';
import { KEY_OPERATIONS } from './http/api/key-operations.ts';
import { MODEL_OPERATIONS } from './http/api/model-operations.ts';
import { REPORT_OPERATIONS } from './http/api/report-operations.ts';
import { METRICS_OPERATION } from './http/api/metrics.ts';
import { PLAY_MONEY_OPERATION, STATUS_OPERATIONS } from './http/api/status-operations.ts';
import { WALLET_OPERATIONS } from './http/api/wallet-operations.ts';
import { ADMIN_OPERATIONS } from './http/admin/admin-operations.ts';
import { ACCOUNT_OPERATIONS } from './http/console/account-operations.ts';
import { CONSOLE_OPERATIONS } from './http/console/console-operations.ts';
import { LANDING_OPERATIONS } from './http/console/landing-operations.ts';
import { KEY_PAGE_OPERATIONS } from './http/console/key-page-operations.ts';
import { PLAYGROUND_OPERATIONS } from './http/console/playground-operations.ts';
import { PLAYGROUND_ROUTE } from './http/console/playground-route.ts';
import { TOP_UP_OPERATIONS } from './http/console/top-up.ts';
import { DOCS_OPERATIONS } from './http/docs/docs-operations.ts';
import { COUNT_TOKENS_OPERATION, estimateOperation, inferenceOperation } from './http/docs/inference-operations.ts';
import { LNURL_OPERATIONS } from './http/lnurl/lnurl-operations.ts';
import { MCP_OPERATION } from './http/mcp/mcp-operation.ts';
import { PAGE_OPERATIONS } from './http/pages/page-operations.ts';
import type { Operation } from './http/server/operation.ts';
import { SURFACES } from './wires/surfaces.ts';
import type { Surface } from './wires/wire.ts';

/** The paths at which clients speak each wire. Each is also served under `/l402` to who has no key. */
const SURFACE_OF_PATH: readonly (readonly [path: string, surface: Surface])[] = [
  ['/v1/chat/completions', SURFACES['openai-chat']],
  ['/v1/completions', SURFACES['openai-completions']],
  ['/v1/responses', SURFACES['openai-responses']],
  ['/v1/messages', SURFACES['anthropic-messages']],
  ['/v1/router', SURFACES['pura-router']],
  ['/v1/embeddings', SURFACES['openai-embeddings']],
];

/** Every path that can reach a provider: all of them go through the gateway's admission. */
export const INFERENCE_ROUTES: readonly InferenceRoute[] = [
  ...SURFACE_OF_PATH.flatMap(([path, surface]) => [
    { path, surface, streamDefault: false },
    { path: `/l402${path}`, surface, streamDefault: false, keyless: true },
  ]),
  { path: '/api/chat', surface: SURFACES['openai-chat'], streamDefault: true },
  PLAYGROUND_ROUTE,
];

/** A chat is priced as a chat is answered, up to where anything would be taken for it: this path reaches no provider. */
export const ESTIMATE_ROUTE: InferenceRoute = {
  path: '/api/estimate',
  surface: SURFACES['openai-chat'],
  streamDefault: false,
  estimates: true,
};

/** The same for the playground. */
export const PLAYGROUND_ESTIMATE_ROUTE: InferenceRoute = { ...ESTIMATE_ROUTE, path: '/console/playground/estimate', session: true };

/** The wire in which a path's errors are told, and those of all paths below it; undefined where they are the gateway's own. */
export function surfaceOf(path: string): Surface | undefined {
  return INFERENCE_ROUTES.find((route) => `${path}/`.startsWith(`${route.path}/`))?.surface;
}

/**
 * Every route of the gateway, whatever it is configured to have: what it takes, what it answers, who may ask. A test compares this list with
 * the routes of the running app, so a route without a row is found.
 */
export const OPERATIONS: readonly Operation[] = [
  ...INFERENCE_ROUTES.map(inferenceOperation),
  estimateOperation(ESTIMATE_ROUTE),
  estimateOperation(PLAYGROUND_ESTIMATE_ROUTE),
  COUNT_TOKENS_OPERATION,
  ...Object.values(MODEL_OPERATIONS),
  ...Object.values(KEY_OPERATIONS),
  ...Object.values(WALLET_OPERATIONS),
  ...Object.values(AUTOPAY_OPERATIONS),
  ...Object.values(REPORT_OPERATIONS),
  ...Object.values(LNURL_OPERATIONS),
  ...Object.values(STATUS_OPERATIONS),
  METRICS_OPERATION,
  DISCOVERY_OPERATION,
  MCP_OPERATION,
  ...Object.values(DOCS_OPERATIONS),
  ...Object.values(PAGE_OPERATIONS),
  ...Object.values(LANDING_OPERATIONS),
  ...Object.values(ACCOUNT_OPERATIONS),
  ...Object.values(CONSOLE_OPERATIONS),
  ...Object.values(KEY_PAGE_OPERATIONS),
  ...Object.values(TOP_UP_OPERATIONS),
  ...Object.values(PLAYGROUND_OPERATIONS),
  ...Object.values(ADMIN_OPERATIONS),
  PLAY_MONEY_OPERATION,
];

/** Those of an app that is put together: of the methods and paths that it has. */
export function operationsOf(routes: ReadonlyMap<string, ReadonlySet<string>>): readonly Operation[] {
  return OPERATIONS.filter(({ method, path }) => routes.get(path)?.has(method.toUpperCase()));
}

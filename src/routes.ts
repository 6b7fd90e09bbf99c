import type { InferenceRoute } from './http/payment/incoming.ts';
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
];

/** A chat is priced as a chat is answered, up to where anything would be taken for it: this path reaches no provider. */
export const ESTIMATE_ROUTE: InferenceRoute = {
  path: '/api/estimate',
  surface: SURFACES['openai-chat'],
  streamDefault: false,
  estimates: true,
};

/** The wire in which a path's errors are told, and those of all paths below it; undefined where they are the gateway's own. */
export function surfaceOf(path: string): Surface | undefined {
  return INFERENCE_ROUTES.find((route) => `${path}/`.startsWith(`${route.path}/`))?.surface;
}

import type { InferenceRoute } from './http/payment/incoming.ts';
import { SURFACES } from './wires/surfaces.ts';
import type { Surface, WireName } from './wires/wire.ts';

/** The paths at which clients speak each wire. Each is also served under `/l402` to who has no key. */
const PATHS: readonly (readonly [path: string, wire: WireName])[] = [
  ['/v1/chat/completions', 'openai-chat'],
  ['/v1/completions', 'openai-completions'],
  ['/v1/responses', 'openai-responses'],
  ['/v1/messages', 'anthropic-messages'],
  ['/v1/embeddings', 'openai-embeddings'],
];

/** Every path that can reach a provider: all of them go through the gateway's admission. */
export const INFERENCE_ROUTES: readonly InferenceRoute[] = [
  ...PATHS.flatMap(([path, wire]) => {
    const surface = SURFACES[wire];
    if (!surface) return [];
    return [
      { path, surface, streamDefault: false },
      { path: `/l402${path}`, surface, streamDefault: false, keyless: true },
    ];
  }),
  { path: '/api/chat', surface: SURFACES['openai-chat'] as Surface, streamDefault: true },
];

const surfaces = new Map(INFERENCE_ROUTES.map(({ path, surface }) => [path, surface]));

/** The wire in which a path's errors are told; undefined where they are the gateway's own. */
export function surfaceOf(path: string): Surface | undefined {
  return surfaces.get(path);
}

import { SURFACES } from '../../wires/surfaces.ts';
import type { InferenceRoute } from '../payment/incoming.ts';

/** Where the playground's questions go: through the ordinary admission, paid by a key that the session may use. */
export const PLAYGROUND_ROUTE: InferenceRoute = {
  path: '/console/playground/chat',
  surface: SURFACES['openai-chat'],
  streamDefault: true,
  session: true,
};

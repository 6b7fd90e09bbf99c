import type { AttemptOutcome } from '../routing/gate.ts';
import type { Asked, Ending, Grant, Leg } from './call.ts';
import { VOID } from './reach.ts';
import type { StreamEnd } from './relay.ts';

/** Of a stream's time, where its speed is still the provider's own. */
const MOST_PAUSED = 0.1;

/** Waits until an answer that has begun has reached its client, or will not. JSON goes out once it is settled. */
export async function deliver(leg: Leg, { cancellation }: Grant): Promise<Ending> {
  if (leg.kind !== 'stream') return leg;
  let outcome = VOID;
  try {
    const end = await leg.stream.ended;
    cancellation.onAbort = undefined;
    if (!cancellation.reason) outcome = await outcomeOf(leg, end);
    return { ...leg, end };
  } finally {
    leg.pass.end(outcome);
  }
}

/** What a stream that has ended says of its deployment: nothing where its client left. */
async function outcomeOf({ dispatchedAt }: Asked, end: StreamEnd): Promise<AttemptOutcome> {
  switch (end.reason) {
    case 'client_gone':
    case 'lease_lost':
      return VOID;
    case 'broke_off':
      return { kind: 'fault', reason: 'broken stream', retryAfterSeconds: null };
    case 'provider_error':
      return { kind: 'fault', reason: 'error event', retryAfterSeconds: null };
    case 'complete': {
      const seconds = (performance.now() - dispatchedAt) / 1000;
      const ttftMs = end.deliveredAt === null ? null : end.deliveredAt - dispatchedAt;
      // A stream that its client slowed down says nothing of how fast it is written.
      const isFree = end.pausedMs / 1000 <= seconds * MOST_PAUSED;
      return { kind: 'ok', ttftMs, outputTokens: isFree ? (end.usage?.output ?? (await end.deliveredTokens())) : 0, seconds };
    }
  }
}

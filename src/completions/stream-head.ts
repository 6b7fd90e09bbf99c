import { msatFromPicoUsd } from '../amount.ts';
import type { UpstreamAnswer } from '../providers/provider.ts';
import type { Deployment } from '../models/deployment.ts';
import { accountHead, costHead, headOf, providerHead, type Head } from './answer.ts';
import type { StreamHead } from './client-stream.ts';
import type { Exchange } from './exchange.ts';

/** The head of a stream: its cost is what was quoted, for it is not known yet. */
export function streamHead(exchange: Exchange, deployment: Deployment, answer: UpstreamAnswer | null): StreamHead {
  const { hold, head, ticket } = exchange;
  return {
    head: () => [...head, ...lastingStreamHead(exchange, deployment, answer), ...headOf(ticket.headers), ...accountHead(hold)],
    model: deployment.model,
  };
}

/** The head of a stream of which nothing more is known. */
export function bareStreamHead(head: Head): StreamHead {
  return { head: () => [...head, ...EVENT_STREAM], model: null };
}

const EVENT_STREAM = [
  'Content-Type',
  'text/event-stream; charset=utf-8',
  'Cache-Control',
  'no-cache, no-transform',
  'X-Accel-Buffering',
  'no',
];

/** What of it a repeat gets too: how the account stood at the time is not. */
export function lastingStreamHead(exchange: Exchange, deployment: Deployment, answer: UpstreamAnswer | null): Head {
  const { hold, rate } = exchange;
  return [
    ...EVENT_STREAM,
    ...providerHead(deployment, answer, exchange),
    ...costHead(hold.costPicoUsd, msatFromPicoUsd(hold.costPicoUsd, rate), 'estimate'),
  ];
}

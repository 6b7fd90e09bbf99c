import { formatUsd, msatFromPicoUsd, satsFromMsat, type Msat, type PicoUsd } from '../amount.ts';
import type { HoldVerdict } from '../ledger/hold.ts';
import type { UpstreamAnswer } from '../providers/provider.ts';
import type { Candidate } from '../routing/candidate.ts';
import type { StreamHead } from './client-stream.ts';
import type { UnderWay } from './call.ts';

/**
 * The head of an answer, or a part of one: names and values in turn, as `writeHead` takes them. Objects of so many names cost more to put
 * together, and headers that are set one by one more to keep, than all of them to send.
 */
export type Head = string[];

/**
 * Who answered, for every answer that came from a provider: with what of the request the model could not take, and what the client's own
 * cap was taken as where that is above the model's.
 */
export function providerHead({ call, plan }: Omit<UnderWay, 'grant'>, candidate: Candidate, answer: UpstreamAnswer | null): Head {
  const { deployment, rendering, upstream } = candidate;
  const { requestId, request, surface } = call;
  // The provider's own headers are about its own wire.
  const passed = answer && deployment.provider.passesHeaders && upstream.wire === surface.wire ? passedHead(answer) : [];
  return [
    'X-Pura-Provider',
    deployment.provider.id,
    'X-Pura-Model',
    deployment.model,
    'X-Pura-Tier',
    deployment.tier,
    'X-Pura-Explored',
    plan.explored ? 'true' : 'false',
    ...((request.outputCap ?? 0) > deployment.maxOutputTokens ? ['X-Pura-Output-Cap', String(deployment.maxOutputTokens)] : []),
    ...(rendering.ignored.length > 0 ? ['X-Pura-Ignored', ignoredNames(rendering.ignored)] : []),
    ...(passed.includes('x-request-id') ? [] : ['x-request-id', requestId]),
    ...passed,
  ];
}

const MOST_IGNORED_CHARACTERS = 1_000;

/** Names of fields are a client's: only those of plain characters are shown. */
function ignoredNames(names: readonly string[]): string {
  return [...new Set(names)]
    .filter((name) => /^[\w.[\]-]+$/.test(name))
    .join(', ')
    .slice(0, MOST_IGNORED_CHARACTERS);
}

export function costHead(costPicoUsd: PicoUsd, costMsat: Msat, kind: 'settled' | 'estimate'): Head {
  return ['X-Pura-Cost', formatUsd(costPicoUsd), 'X-Pura-Cost-Kind', kind, 'X-Pura-Cost-Msat', costMsat.toString()];
}

/** How the account and the key stand after `verdict`. */
export function accountHead(verdict: HoldVerdict): Head {
  return [
    'X-Pura-Funding',
    verdict.funding ?? 'wallet',
    'X-Pura-Budget-Remaining',
    formatUsd((verdict.budgetLeftPicoUsd > 0n ? verdict.budgetLeftPicoUsd : 0n) as PicoUsd),
    'X-Pura-Free-Remaining',
    String(Math.max(0, verdict.freeLimit - verdict.freeUsed)),
    'X-Pura-Balance',
    String(satsFromMsat(verdict.availableMsat)),
  ];
}

/** The same as a head, for what is kept as an object elsewhere. */
export function headOf(headers: Readonly<Record<string, string>>): Head {
  const head: Head = [];
  for (const name in headers) head.push(name, headers[name] ?? '');
  return head;
}

/** A head as an object, for what is stored; a name that comes twice has both values. */
export function headersOf(head: Head): Record<string, string | string[]> {
  const headers: Record<string, string | string[]> = {};
  for (let index = 0; index < head.length; index += 2) {
    const [name = '', value = ''] = head.slice(index, index + 2);
    const before = headers[name];
    headers[name] = before === undefined ? value : [before, value].flat();
  }
  return headers;
}

const PASSED = /^(?:x-request-id$|openai-|x-ratelimit-)/;

function passedHead({ headers }: UpstreamAnswer): Head {
  const passed: Head = [];
  for (const name in headers) {
    if (!PASSED.test(name)) continue;
    for (const value of [headers[name] ?? []].flat()) passed.push(name, value);
  }
  return passed;
}

/** The head of a stream: its cost is what was quoted, for it is not known yet. */
export function streamHead(underWay: UnderWay, candidate: Candidate, answer: UpstreamAnswer | null): StreamHead {
  const { call, grant } = underWay;
  return {
    head: () => [
      ...call.head,
      ...lastingStreamHead(underWay, candidate, answer),
      ...headOf(grant.ticket.headers),
      ...accountHead(grant.hold),
    ],
    model: candidate.deployment.model,
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
export function lastingStreamHead(underWay: UnderWay, candidate: Candidate, answer: UpstreamAnswer | null): Head {
  const { hold } = underWay.grant;
  return [
    ...EVENT_STREAM,
    ...providerHead(underWay, candidate, answer),
    ...costHead(hold.costPicoUsd, msatFromPicoUsd(hold.costPicoUsd, underWay.call.picoUsdPerMsat), 'estimate'),
  ];
}

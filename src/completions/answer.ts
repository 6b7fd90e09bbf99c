import type { GatewayError } from '../errors.ts';
import { formatUsd, satsFromMsat, usdNumber, type Msat, type PicoUsd } from '../amount.ts';
import type { HoldVerdict } from '../ledger/hold.ts';
import type { UpstreamAnswer } from '../providers/provider.ts';
import type { UsageSeen } from '../wires/openai-chat/sse-scanner.ts';
import { rawUsageOf } from '../wires/openai-chat/wire-chunk.ts';
import { wireCount } from '../wires/openai-chat/usage.ts';
import type { Deployment } from '../models/deployment.ts';
import type { ErrorObject } from '../providers/provider-reason.ts';
import type { Bill } from './settle.ts';

export const STREAM_DONE = Buffer.from('data: [DONE]\n\n');

export interface Timing {
  latencyMs: number;
  ttftMs: number | null;
}

/** The answer's body as the client gets it: the provider's own, its numbers as it wrote them, with what it cost in `usage`. */
export function jsonBody(body: Record<string, unknown>, deployment: Deployment, bill: Bill, timing: Timing): Buffer {
  const model = textOr(body['model'], deployment.model);
  return Buffer.from(JSON.stringify({ ...body, model, usage: usageWithCost(rawUsageOf(body), bill, timing) }));
}

/** Deeper than any usage, and far from what the writer of JSON, which is recursive, could choke on. */
const MOST_DEPTH = 64;

/** The chunk that tells usage and cost at the end of a stream, for clients that asked for it: the provider's own, made whole. */
export function usageChunk(seen: UsageSeen | null, requestId: string, deployment: Deployment, bill: Bill, timing: Timing): Buffer {
  const source = seen && !isDeeper(seen.chunk, MOST_DEPTH) ? seen : null;
  const { x_groq: _said, usage: _replaced, ...own } = source?.chunk ?? {};
  const chunk = {
    ...own,
    id: textOr(own.id, `chatcmpl-${requestId}`),
    object: 'chat.completion.chunk',
    created: typeof own.created === 'number' ? own.created : Math.floor(Date.now() / 1000),
    model: textOr(own.model, deployment.model),
    choices: [],
    usage: usageWithCost(source?.usage, bill, timing),
  };
  return Buffer.from(`data: ${JSON.stringify(chunk)}\n\n`);
}

/**
 * The settled figures of a stream, as an SSE comment: OpenAI clients pass over it, ours read it. It is the first line of the event after it:
 * by itself, with a blank line, it would be an event without data to many a decoder.
 */
export function settledComment(figures: {
  costPicoUsd: PicoUsd;
  costMsat: Msat;
  chargedMsat: Msat;
  funding: string;
  availableMsat: Msat;
  requestId: string;
  /** Who answered, where the head had gone out before that was known. */
  served?: { provider: string; model: string } | undefined;
}): string {
  return `: pura ${JSON.stringify({
    cost_usd: usdNumber(figures.costPicoUsd),
    cost_msat: Number(figures.costMsat),
    charged_msat: Number(figures.chargedMsat),
    funding: figures.funding,
    balance_sats: satsFromMsat(figures.availableMsat),
    request_id: figures.requestId,
    ...figures.served,
  })}\n`;
}

/** What a stream says instead while its settlement waits for the database. */
export function pendingComment(requestId: string): string {
  return `: pura ${JSON.stringify({ pending: true, request_id: requestId })}\n`;
}

/** An error in a stream, the last of its events, with the comment that every stream ends with. */
export function errorEvent(error: ErrorObject | GatewayError, comment = ''): string {
  return `${comment}data: ${JSON.stringify(error)}\n\n`;
}

/**
 * The head of an answer, or a part of one: names and values in turn, as `writeHead` takes them. Objects of so many names cost more to put
 * together, and headers that are set one by one more to keep, than all of them to send.
 */
export type Head = string[];

/** Who answered, for every answer that came from a provider, and what the client's own cap was taken as where that is above the model's. */
export function providerHead(
  deployment: Deployment,
  answer: UpstreamAnswer | null,
  { requestId, choice, request }: { requestId: string; choice: { explored: boolean }; request: { outputCap: number | null } },
): Head {
  const passed = answer && deployment.provider.passesHeaders ? passedHead(answer) : [];
  return [
    'X-Pura-Provider',
    deployment.provider.id,
    'X-Pura-Model',
    deployment.model,
    'X-Pura-Tier',
    deployment.tier,
    'X-Pura-Explored',
    choice.explored ? 'true' : 'false',
    ...((request.outputCap ?? 0) > deployment.maxOutputTokens ? ['X-Pura-Output-Cap', String(deployment.maxOutputTokens)] : []),
    ...(passed.includes('x-request-id') ? [] : ['x-request-id', requestId]),
    ...passed,
  ];
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

function usageWithCost(
  usage: unknown,
  { usage: billed, cost, costPicoUsd, costMsat }: Bill,
  { latencyMs, ttftMs }: Timing,
): Record<string, unknown> {
  const given = typeof usage === 'object' && usage !== null ? (usage as Record<string, unknown>) : {};
  return {
    ...given,
    prompt_tokens: billed.promptTokens,
    completion_tokens: billed.completionTokens,
    // Some count more into it than prompt and completion.
    total_tokens: Math.max(billed.promptTokens + billed.completionTokens, wireCount(given['total_tokens']) ?? 0),
    input_cost_usd: usdNumber(cost.inputPicoUsd),
    output_cost_usd: usdNumber(cost.outputPicoUsd),
    cache_input_cost_usd: usdNumber(cost.cacheInputPicoUsd),
    total_cost_usd: usdNumber(costPicoUsd),
    total_cost_msat: Number(costMsat),
    latency_ms: Math.round(latencyMs * 10) / 10,
    ttft_ms: ttftMs === null ? null : Math.round(ttftMs * 10) / 10,
  };
}

function isDeeper(value: unknown, levels: number): boolean {
  if (typeof value !== 'object' || value === null) return false;
  return levels === 0 || Object.values(value).some((inner) => isDeeper(inner, levels - 1));
}

function textOr(value: unknown, otherwise: string): string {
  return typeof value === 'string' && value !== '' ? value : otherwise;
}

import { satsFromMsat, usdNumber, type Msat, type PicoUsd } from '../amount.ts';

/** The comment that every stream ends with, as a line of the block of its last event. */

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
  /** How far a cascade climbed. */
  climb?: Record<string, number> | undefined;
}): string {
  return `: pura ${JSON.stringify({
    cost_usd: usdNumber(figures.costPicoUsd),
    cost_msat: Number(figures.costMsat),
    charged_msat: Number(figures.chargedMsat),
    funding: figures.funding,
    balance_sats: satsFromMsat(figures.availableMsat),
    request_id: figures.requestId,
    ...figures.served,
    ...figures.climb,
  })}\n`;
}

/** What a stream says instead while its settlement waits for the database. */
export function pendingComment(requestId: string): string {
  return `: pura ${JSON.stringify({ pending: true, request_id: requestId })}\n`;
}

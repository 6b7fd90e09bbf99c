import type { Finish, FinishReason } from '../answer.ts';

const REASONS: Readonly<Record<string, FinishReason>> = {
  STOP: 'stop',
  MAX_TOKENS: 'length',
  // Cut at the limit of one request; the rest would take another.
  CONTINUATION: 'length',
  SAFETY: 'content_filter',
  RECITATION: 'content_filter',
  LANGUAGE: 'content_filter',
  BLOCKLIST: 'content_filter',
  PROHIBITED_CONTENT: 'content_filter',
  SPII: 'content_filter',
  MODEL_ARMOR: 'content_filter',
  ESCALATION: 'content_filter',
};

/**
 * What a `finishReason` comes to. This wire ends with STOP also where the client is to run tools. A reason that is not known, or one like
 * MALFORMED_FUNCTION_CALL, is the end of an answer that did not come out as it should.
 * @param native null where the provider gives none.
 */
export function finishOf(native: string | null, callsTools: boolean): Finish {
  if (native === null) return { reason: callsTools ? 'tool_calls' : 'stop' };
  const reason = REASONS[native] ?? (native.startsWith('IMAGE_') ? 'content_filter' : 'error');
  return { reason: reason === 'stop' && callsTools ? 'tool_calls' : reason, native };
}

/** A prompt that was blocked gets no candidate: whatever the reason is called, something in front of the model would not. */
export function finishOfBlock(native: string): Finish {
  return { reason: 'content_filter', native };
}

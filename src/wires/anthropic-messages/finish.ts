import type { Finish, FinishReason } from '../answer.ts';

/** Why an answer ended, both ways (https://docs.anthropic.com/en/api/handling-stop-reasons). */

const FROM_WIRE: Readonly<Record<string, FinishReason>> = {
  end_turn: 'stop',
  stop_sequence: 'stop',
  max_tokens: 'length',
  model_context_window_exceeded: 'length',
  tool_use: 'tool_calls',
  refusal: 'refusal',
  pause_turn: 'pause',
  compaction: 'pause',
};

const TO_WIRE: Readonly<Record<FinishReason, string>> = {
  stop: 'end_turn',
  length: 'max_tokens',
  tool_calls: 'tool_use',
  content_filter: 'refusal',
  refusal: 'refusal',
  pause: 'pause_turn',
  error: 'end_turn',
};

/** A reason that is new to us ended the answer all the same. */
export function finishFromWire(stopReason: string, stopSequence: unknown): Finish {
  return {
    reason: FROM_WIRE[stopReason] ?? 'stop',
    ...(typeof stopSequence === 'string' && { stopSequence }),
    native: stopReason,
  };
}

/** The members `stop_reason` and `stop_sequence` of a message. */
export function finishToWire({ reason, stopSequence }: Finish): { stop_reason: string; stop_sequence: string | null } {
  const stopped = reason === 'stop' && stopSequence !== undefined;
  return { stop_reason: stopped ? 'stop_sequence' : TO_WIRE[reason], stop_sequence: stopped ? stopSequence : null };
}

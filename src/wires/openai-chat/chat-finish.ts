import type { Finish, FinishReason } from '../answer.ts';
import { member } from '../json-object.ts';

/** The words of OpenAI and of servers that speak its wire. Any other word is a usual end. */
const REASONS: ReadonlyMap<string, FinishReason> = new Map<string, FinishReason>([
  ['length', 'length'],
  ['max_tokens', 'length'],
  ['max_output_tokens', 'length'],
  ['model_length', 'length'],
  ['tool_calls', 'tool_calls'],
  ['function_call', 'tool_calls'],
  ['tool_use', 'tool_calls'],
  ['content_filter', 'content_filter'],
  ['guardrail_intervened', 'content_filter'],
  ['safety', 'content_filter'],
  ['refusal', 'refusal'],
]);

/** What ended an answer in place of the model: the provider's own trouble, to be tried again and not to be billed as an answer. */
const FAILURES = new Set(['insufficient_system_resource']);

const WORDS: Readonly<Record<FinishReason, string>> = {
  stop: 'stop',
  length: 'length',
  tool_calls: 'tool_calls',
  content_filter: 'content_filter',
  refusal: 'content_filter',
  // The wire has no words for these. Of those that it has, `length` alone says that there is more to come.
  pause: 'length',
  error: 'length',
};

/** What a completion holds that its finish reason leaves out on this wire. */
export interface Held {
  readonly calls: boolean;
  readonly refusal: boolean;
}

/** A choice's finish reason. Named tools end with `stop` at OpenAI, and refusals too: what the completion holds decides then. */
export function finishOf(choice: unknown, native: string, { calls, refusal }: Held): Finish {
  const said = REASONS.get(native.toLowerCase()) ?? 'stop';
  const reason = said !== 'stop' ? said : calls ? 'tool_calls' : refusal ? 'refusal' : 'stop';
  // vLLM and SGLang tell which of the client's sequences it was; a token's number tells nothing.
  const sequence = member(choice, 'stop_reason') ?? member(choice, 'matched_stop');
  return { reason, native, ...(said === 'stop' && typeof sequence === 'string' && sequence !== '' && { stopSequence: sequence }) };
}

/** The failure that a finish reason tells of; undefined where it tells of none. */
export function failureOfFinish(native: string): unknown {
  if (!FAILURES.has(native)) return undefined;
  return { message: `The provider broke the answer off: ${native}.`, type: 'server_error', code: native, param: null };
}

/** A finish in this wire's word. A refusal that was put into `refusal` ends as usual, which is OpenAI's own way. */
export function finishWord({ reason }: Finish, { refusal }: Pick<Held, 'refusal'>): string {
  return reason === 'refusal' && refusal ? 'stop' : WORDS[reason];
}

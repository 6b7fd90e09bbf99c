/** The one exchange that is measured: a short chat and an answer of the usual size. The same bytes for both proxies. */

/** As the gateway names the deployment `DEPLOYMENT`. */
export const DEPLOYMENT = 'stand-in';
export const MODEL = `pureai/${DEPLOYMENT}`;
export const PATH = '/v1/chat/completions';
export const STREAM_CHUNKS = 50;

const MESSAGES = [
  { role: 'system', content: 'You are a careful assistant. Answer briefly, name your sources, and say so when you do not know.' },
  { role: 'user', content: 'Explain in one paragraph how a Lightning invoice is paid, and what the payer can prove afterwards.' },
];

const ANSWER =
  'The payer decodes the invoice, which names an amount, an expiry and the hash of a secret that only the payee knows. ' +
  'Its node finds a route and locks the amount, hop by hop, on the condition that the preimage of that hash is shown in time. ' +
  'The payee takes the last hop by showing the preimage; each node on the way uses it to take its own, until it reaches the payer. ' +
  'Whoever holds the preimage and the signed invoice can prove that this very invoice was paid.';

const USAGE = { prompt_tokens: 52, completion_tokens: 98, total_tokens: 150 };

/** The body of a request. */
export function requestBody(stream: boolean): string {
  return JSON.stringify({ model: MODEL, messages: MESSAGES, temperature: 0.2, max_tokens: 256, ...(stream && { stream }) });
}

/** The body of a JSON answer. */
export function answerBody(): Buffer {
  const choices = [{ index: 0, message: { role: 'assistant', content: ANSWER, refusal: null }, logprobs: null, finish_reason: 'stop' }];
  return Buffer.from(JSON.stringify({ ...envelope('chat.completion'), choices, usage: USAGE, system_fingerprint: 'fp_stand_in' }));
}

/** The events of a stream, each to be sent on its own: the pieces of text, then the finish, the usage and the end. */
export function answerEvents(): Buffer[] {
  const delta = (content: string) => [{ index: 0, delta: { content }, logprobs: null, finish_reason: null }];
  const chunks = Array.from({ length: STREAM_CHUNKS }, (_, index) => ({ choices: delta(` token${index}`), usage: null }));
  const finish = { choices: [{ index: 0, delta: {}, logprobs: null, finish_reason: 'stop' }], usage: null };
  const events = [...chunks, finish, { choices: [], usage: USAGE }].map((members) => ({
    ...envelope('chat.completion.chunk'),
    ...members,
  }));
  return [...events.map((event) => JSON.stringify(event)), '[DONE]'].map((data) => Buffer.from(`data: ${data}\n\n`));
}

function envelope(object: string): object {
  return { id: 'chatcmpl-stand-in-000000000000000000000', object, created: 1_735_689_600, model: MODEL };
}

import { z } from 'zod';
import { count } from '../server/described-values.ts';

/**
 * What inference paths answer. A provider's answer goes out in its own words where it speaks the client's wire, so only what every one of them
 * says is demanded here.
 */

const usd = z.number().min(0);
const costs = {
  input_cost_usd: usd,
  output_cost_usd: usd,
  cache_input_cost_usd: usd,
  total_cost_usd: usd,
  total_cost_msat: count.meta({ description: 'What the request was worth, in msat.' }),
  latency_ms: z.number(),
  ttft_ms: z.number().nullable(),
};

const chatUsage = z.looseObject({ prompt_tokens: count, completion_tokens: count, total_tokens: count, ...costs }).meta({ id: 'Usage' });
const routing = z
  .strictObject({
    selected_model: z.string().nullable(),
    selected_provider: z.string().nullable(),
    reasoning: z.string().nullable(),
    confidence: z.number().nullable(),
    expected_error: z.number().nullable(),
    cost_adjusted_score: z.number().nullable(),
    all_scores: z.record(z.string(), z.number()).nullable().meta({ description: 'Lower is better.' }),
  })
  .meta({ id: 'Routing' });

const completionBody = { choices: z.array(z.looseObject({})), model: z.string(), usage: chatUsage };

export const chatCompletion = z.looseObject(completionBody).meta({ id: 'ChatCompletion' });
export const routedCompletion = z.looseObject({ ...completionBody, routing }).meta({ id: 'RoutedCompletion' });
export const completion = z.looseObject(completionBody).meta({ id: 'Completion' });
export const response = z
  .looseObject({
    object: z.literal('response').optional(),
    output: z.array(z.looseObject({ type: z.string() })),
    usage: z.looseObject({ input_tokens: count, output_tokens: count, ...costs }),
  })
  .meta({ id: 'Response' });
export const embeddings = z
  .looseObject({
    data: z.array(z.looseObject({ embedding: z.union([z.array(z.number()), z.string()]) })),
    model: z.string(),
    usage: z.looseObject({ prompt_tokens: count, total_tokens: count, ...costs }),
  })
  .meta({ id: 'Embeddings' });
export const message = z
  .looseObject({
    type: z.literal('message').optional(),
    content: z.array(z.looseObject({ type: z.string() })),
    usage: z.looseObject({ input_tokens: count, output_tokens: count, ...costs }),
  })
  .meta({ id: 'Message' });

/** The router's word alone, where nothing is executed. */
export const decision = z
  .strictObject({
    selected_model: z.string().nullable(),
    reasoning: z.string().nullable(),
    confidence: z.number().nullable(),
    estimated_cost_usd: usd,
    routing,
  })
  .meta({ id: 'Decision' });

const tier = z.enum(['cheap', 'mid', 'premium']);
const priced = { model: z.string(), provider: z.string(), tier, estimatedCostUsd: usd, estimatedCostMsat: count };
export const estimate = z
  .strictObject({
    ...priced,
    promptTokens: count,
    estimatedOutputTokens: count,
    maxOutputTokens: count,
    maxCostUsd: usd.meta({ description: 'The most that could be held for it.' }),
    maxCostMsat: count,
    feeMsat: count.optional(),
    mayBeFree: z.boolean(),
    explored: z.boolean(),
    reasoning: z.string().nullable(),
    confidence: z.number().nullable(),
    candidates: z.array(z.strictObject(priced)),
    btcUsd: z.number(),
  })
  .meta({ id: 'Estimate' });

const SETTLED =
  ': pura {"cost_usd":0.0000012,"cost_msat":12,"charged_msat":12,"funding":"wallet","balance_sats":997,"request_id":"019a7c1e-…"}\n';
const chunk = (choices: object[]) =>
  `data: ${JSON.stringify({ id: 'chatcmpl-1', object: 'chat.completion.chunk', created: 1, model: 'demo-cheap', choices })}\n\n`;
const event = (name: string, data: object, before = '') => `${before}event: ${name}\ndata: ${JSON.stringify({ type: name, ...data })}\n\n`;

export const CHAT_EVENTS = [
  chunk([{ index: 0, delta: { role: 'assistant', content: 'Hello' }, finish_reason: null }]),
  chunk([{ index: 0, delta: {}, finish_reason: 'stop' }]),
  `${SETTLED}data: [DONE]\n\n`,
].join('');
export const COMPLETION_EVENTS = `data: {"id":"cmpl-1","object":"text_completion","choices":[{"text":"Hello","index":0,"finish_reason":"stop"}]}\n\n${SETTLED}data: [DONE]\n\n`;
export const RESPONSE_EVENTS = [
  event('response.created', { response: { id: 'resp_1', status: 'in_progress' } }),
  event('response.output_text.delta', { delta: 'Hello' }),
  event('response.completed', { response: { id: 'resp_1', status: 'completed' } }, SETTLED),
].join('');
export const MESSAGE_EVENTS = [
  event('message_start', { message: { id: 'msg_1', role: 'assistant' } }),
  event('content_block_delta', { index: 0, delta: { type: 'text_delta', text: 'Hello' } }),
  event('message_stop', {}, SETTLED),
].join('');

import { z } from 'zod';
import { GatewayError } from '../../errors.ts';
import { tool } from './tool.ts';

const MOST_MESSAGES = 500;
const row = { model: z.string(), provider: z.string(), tier: z.string(), estimatedCostUsd: z.number(), estimatedCostMsat: z.int() };

/** As `POST /api/estimate`. */
export const estimateCost = tool({
  name: 'estimate_cost',
  title: 'Price of a request',
  description:
    'What a chat request would cost, and which model would serve it, before anybody sends it: the usual cost, and the most that could be ' +
    'held for it. Sends nothing to any provider and spends nothing.',
  input: z.strictObject({
    prompt: z.string().optional().describe('What the user would say; or give messages instead.'),
    messages: z
      .array(z.strictObject({ role: z.enum(['system', 'user', 'assistant']), content: z.string() }))
      .min(1)
      .max(MOST_MESSAGES)
      .optional(),
    model: z.string().max(200).default('auto').describe('A model of list_models, or "auto".'),
    maxTokens: z.int().min(1).optional().describe('The longest answer wanted, in tokens.'),
    quality: z.enum(['high', 'low']).optional().describe('Where the gateway chooses: a dearer or a cheaper model than it would.'),
  }),
  output: z.looseObject({
    ...row,
    promptTokens: z.int(),
    estimatedOutputTokens: z.int(),
    maxOutputTokens: z.int(),
    maxCostUsd: z.number(),
    maxCostMsat: z.int(),
    mayBeFree: z.boolean().describe('Whether one of the free requests of an account could pay for it.'),
    reasoning: z.string().nullable(),
    candidates: z.array(z.looseObject(row)).describe('Who would be asked, in turn, should the first one fail.'),
    btcUsd: z.number(),
  }),
  readsOnly: true,
  needsKey: false,
  run: async ({ gateway }, { prompt, messages, model, maxTokens, quality }, { key }) => {
    if ((prompt === undefined) === (messages === undefined)) {
      throw new GatewayError('invalid_request', { message: 'Give either prompt or messages.', param: 'prompt' });
    }
    const chat = {
      model,
      messages: messages ?? [{ role: 'user', content: prompt }],
      ...(maxTokens !== undefined && { max_tokens: maxTokens }),
      ...(quality !== undefined && { routing: { quality } }),
    };
    return { figures: await gateway.estimate(chat, key) };
  },
});

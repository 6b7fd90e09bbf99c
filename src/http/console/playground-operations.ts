import { z } from 'zod';
import { form, json, page, text, type Operation } from '../server/operation.ts';

/** Where the playground is. */
export const PLAYGROUND = '/console/playground';
const LONGEST_MESSAGE = 50_000;
const keyId = z.string().max(100).default('').meta({ description: 'The id of the key that is to pay; empty for the usual one.' });

/** The fields of the playground's form. */
export const playgroundFields = z.object({
  model: z.string().max(200).default('auto'),
  key: keyId,
  message: z.string().max(LONGEST_MESSAGE).default(''),
  most: z.string().trim().default(''),
  act: z.enum(['send', 'price']).default('send').meta({ description: 'Whether to ask, or to be told what asking would cost.' }),
});
export type PlaygroundFields = z.output<typeof playgroundFields>;

const charge = z.object({ pending: z.boolean(), chargedMsat: z.int().nullable(), line: z.string() });

/** The playground's page and what it asks for besides answers. */
export const PLAYGROUND_OPERATIONS = {
  show: page({
    id: 'showPlayground',
    path: PLAYGROUND,
    summary: 'Ask a model, and see the charge',
    query: z.object({ model: z.string().optional(), key: z.string().optional() }),
  }),
  ask: form({
    id: 'askOnce',
    path: PLAYGROUND,
    summary: 'One question, one answer, one charge: without a script',
    fields: playgroundFields,
    answers: { 200: text('The page with the answer, or with the prices.') },
    errors: ['invalid_request'],
  }),
  charge: {
    ...page({ id: 'showCharge', path: `${PLAYGROUND}/charge/:id`, summary: 'What an answer that was stopped has cost' }),
    params: z.object({ id: z.string().meta({ description: "The request's id." }) }),
    answers: { 200: json('The charge, or that it is not settled yet.', charge) },
    errors: ['not_found'],
  },
} as const satisfies Record<string, Operation>;

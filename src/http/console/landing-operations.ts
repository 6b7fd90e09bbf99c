import { z } from 'zod';
import { form, page, text, type Operation } from '../server/operation.ts';
import { startFields } from './landing.ts';

const pricesQuery = z.object({
  q: z.string().optional().meta({ description: 'Only models whose name, provider or tier holds these words.' }),
});

/** The landing page, the list of models, and the first key. */
export const LANDING_OPERATIONS = {
  landing: page({
    id: 'showLanding',
    path: '/',
    summary: 'The landing page; links to everything for programs',
    query: pricesQuery,
    answers: {
      200: {
        description: 'The page where HTML is asked for, else the links.',
        content: {
          'application/json': {
            schema: z.object({
              name: z.string(),
              version: z.string(),
              simulated: z.boolean(),
              freeRequests: z.int(),
              links: z.record(z.string(), z.string()),
            }),
          },
          'text/html': { schema: z.string() },
        },
      },
    },
  }),
  models: page({
    id: 'showModels',
    path: '/models',
    summary: 'All models and their prices, for a person',
    query: pricesQuery.extend({ page: z.string().optional().meta({ description: 'Which page, from 1.' }) }),
  }),
  start: form({
    id: 'start',
    path: '/console/start',
    summary: 'Make an account with its owner key, and a session',
    asker: 'anybody',
    fields: startFields,
    answers: { 200: text('The page that shows the key, this once.'), 409: text('The browser is signed in: nothing was made.') },
    errors: ['rate_limit_exceeded'],
  }),
} as const satisfies Record<string, Operation>;

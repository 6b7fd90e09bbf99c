import { z } from 'zod';
import { form, page, text, type Operation } from '../server/operation.ts';

const nextQuery = z.object({ next: z.string().optional().meta({ description: 'The path to go on to.' }) });

/** The pages of an account and the targets of their forms. */
export const CONSOLE_OPERATIONS = {
  signIn: page({
    id: 'showSignIn',
    path: '/console/sign-in',
    summary: 'Sign in',
    asker: 'anybody',
    query: nextQuery.extend({ reason: z.string().optional() }),
  }),
  sendSignIn: form({
    id: 'signIn',
    path: '/console/sign-in',
    summary: 'Exchange a key for a session',
    asker: 'anybody',
    query: nextQuery,
    fields: z.object({ key: z.string().optional(), next: z.string().optional() }),
    answers: { 401: text('The key signs in nowhere.') },
    errors: ['rate_limit_exceeded'],
  }),
  signOut: form({ id: 'signOut', path: '/console/sign-out', summary: 'End the session', asker: 'anybody' }),
  overview: page({ id: 'showOverview', path: '/console', summary: "The account's overview" }),
} as const satisfies Record<string, Operation>;

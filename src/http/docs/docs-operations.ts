import { z } from 'zod';
import { json, page, text, type Operation } from '../server/operation.ts';

/** The operations that describe the others. */
export const DOCS_OPERATIONS = {
  openApi: {
    id: 'getOpenApi',
    method: 'get',
    path: '/openapi.json',
    asker: 'anybody',
    tag: 'Agents',
    summary: 'This description, as OpenAPI 3.1',
    answers: { 200: json('The document.', z.looseObject({ openapi: z.string(), info: z.looseObject({}), paths: z.looseObject({}) })) },
    errors: [],
  },
  llms: page({
    id: 'getLlmsText',
    path: '/llms.txt',
    tag: 'Agents',
    summary: 'What this is and how to pay for it, for language models',
    answers: { 200: text('Markdown, as llmstxt.org describes it.', 'text/plain') },
  }),
  start: page({ id: 'readDocs', path: '/docs', summary: 'The documentation' }),
  errors: page({ id: 'readErrors', path: '/docs/errors', summary: 'Each error: cause, whether it was charged, what to do' }),
  reference: page({ id: 'readReference', path: '/docs/api', summary: 'All paths, by group' }),
  group: page({ id: 'readGroup', path: '/docs/api/:group', summary: 'The paths of one group', errors: ['not_found'] }),
  guide: page({ id: 'readGuide', path: '/docs/:name', summary: 'One guide', errors: ['not_found'] }),
} as const satisfies Record<string, Operation>;

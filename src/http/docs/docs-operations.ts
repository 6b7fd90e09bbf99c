import { z } from 'zod';
import { json, type Operation } from '../server/operation.ts';

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
} as const satisfies Record<string, Operation>;

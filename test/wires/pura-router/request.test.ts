import { describe, expect, it } from '@jest/globals';
import { GatewayError } from '../../../src/errors.ts';
import { parseBody } from '../../../src/wires/parse-json.ts';
import { parseRouterRequest } from '../../../src/wires/pura-router/request.ts';

const messages = [{ role: 'user', content: 'hi' }];
const read = (fields: object) =>
  parseRouterRequest(parseBody(Buffer.from(JSON.stringify({ messages, ...fields }))), { streamDefault: false });

describe('a request to the router', () => {
  const TAKEN: [name: string, fields: object, read: object][] = [
    ['nothing but messages', {}, { model: 'auto', decisionOnly: false, routing: { models: null, costWeight: null } }],
    ['execute', { execute: false }, { decisionOnly: true }],
    ['execute: true', { execute: true }, { decisionOnly: false }],
    ['models', { models: ['a', 'b'] }, { routing: { models: ['a', 'b'] } }],
    ['cost_weight at its ends', { cost_weight: 0 }, { routing: { costWeight: 0 } }],
    ['both by their longer names', { routing: { models: ['a'], cost_weight: 1 } }, { routing: { models: ['a'], costWeight: 1 } }],
    ['what else routing says', { routing: { quality: 'high' }, models: ['a'] }, { routing: { quality: 'high', models: ['a'] } }],
    ['the model that is to be chosen', { model: 'auto' }, { model: 'auto' }],
    ['null for absent', { model: null, execute: null, models: null, cost_weight: null }, { model: 'auto', decisionOnly: false }],
    ['the fields of a chat', { max_tokens: 7, temperature: 0.5, stream: true, n: 2 }, { outputCap: 7, stream: true, completions: 2 }],
  ];
  it.each(TAKEN)('takes %s', (_name, fields, expected) => {
    expect(read(fields)).toMatchObject({ wire: 'openai-chat', operation: 'generate', ...expected });
  });

  it('sends nothing of what is its own upstream', () => {
    const { fields, extras, unruled } = read({ execute: true, models: ['a'], cost_weight: 0.5, temperature: 0.5, top_k: 3 });
    expect({ fields, extras, unruled }).toEqual({ fields: { messages, temperature: 0.5 }, extras: { top_k: 3 }, unruled: [] });
  });

  const REFUSED: [fields: object, param: string, code?: string][] = [
    [{ messages: undefined }, 'messages'],
    [{ messages: 'hi' }, 'messages'],
    [{ model: 'gpt-4o' }, 'model'],
    [{ execute: 'no' }, 'execute'],
    [{ models: [] }, 'models'],
    [{ models: 'gpt-4o' }, 'models'],
    [{ models: ['a', 7] }, 'models.1'],
    [{ models: ['a', ''] }, 'models.1'],
    [{ models: Array.from({ length: 65 }, (_, index) => `m${index}`) }, 'models'],
    [{ cost_weight: -0.1 }, 'cost_weight'],
    [{ cost_weight: 1.1 }, 'cost_weight'],
    [{ cost_weight: '0.5' }, 'cost_weight'],
    [{ models: ['a'], routing: { models: ['a'] } }, 'models'],
    [{ cost_weight: 0, routing: { cost_weight: 0 } }, 'cost_weight'],
    [{ routing: { models: 'a' } }, 'routing.models'],
    [{ max_tokens: 0 }, 'max_tokens'],
    [{ weight: 1 }, 'weight', 'unknown_parameter'],
    [{ routing: { weight: 1 } }, 'routing.weight', 'unknown_parameter'],
    [{ prediction: {} }, 'prediction', 'unknown_parameter'],
  ];
  it.each(REFUSED)('refuses %j by the name %s', (fields, param, code = 'invalid_request') => {
    let refusal: unknown;
    try {
      read(fields);
    } catch (error) {
      refusal = error;
    }
    expect(refusal).toBeInstanceOf(GatewayError);
    expect(refusal).toMatchObject({ code, detail: { param } });
    expect((refusal as Error).message).toContain(param);
  });
});

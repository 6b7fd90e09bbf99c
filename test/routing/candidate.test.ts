import { describe, expect, it } from '@jest/globals';
import { GatewayError } from '../../src/errors.ts';
import { wireFor } from '../../src/routing/candidate.ts';
import { openAiCompletions } from '../../src/wires/openai-completions/surface.ts';
import { parseBody } from '../../src/wires/parse-json.ts';
import type { WireName } from '../../src/wires/wire.ts';
import { deployment, target } from '../support/deployment.ts';

/** The wire that a completions request is said in, or the field that is in the way. */
function wireOf(body: object, wires: readonly WireName[]): string | undefined {
  const allowParameters = new Set(['house_special']);
  const request = openAiCompletions.parse(parseBody(Buffer.from(JSON.stringify(body))), { streamDefault: false, allowParameters });
  const found = wireFor(request, deployment({ wires, target: target({ allowParameters: [...allowParameters] }) }));
  return found instanceof GatewayError ? found.detail.param : found.wire;
}

describe('the wire to speak in', () => {
  it.each<[string, object, readonly WireName[], string]>([
    ['the client’s own, where the model speaks it', { prompt: 'a' }, ['openai-chat', 'openai-completions'], 'openai-completions'],
    ['another, where it can say the request', { prompt: 'a' }, ['openai-chat'], 'openai-chat'],
    ['none, where only the own one has words for a field', { prompt: 'a', echo: true }, ['openai-chat'], 'echo'],
    ['the own one for such a field', { prompt: 'a', echo: true }, ['openai-chat', 'openai-completions'], 'openai-completions'],
    ['none for a field without a rule', { prompt: 'a', house_special: 1 }, ['openai-chat'], 'house_special'],
    ['the own one for it', { prompt: 'a', house_special: 1 }, ['openai-completions'], 'openai-completions'],
    ['none for several prompts', { prompt: ['a', 'b'] }, ['openai-chat', 'anthropic-messages'], 'prompt'],
  ])('is %s', (_name, body, wires, wanted) => {
    expect(wireOf(body, wires)).toBe(wanted);
  });
});

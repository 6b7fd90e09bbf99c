import { anthropicMessages as surface } from '../../../src/wires/anthropic-messages/surface.ts';
import { parseJson } from '../../../src/wires/parse-json.ts';
import type { InferenceRequest, ParseOptions } from '../../../src/wires/request.ts';
import { PLAIN_DIALECT, PLAIN_TRAITS, type ModelTraits, type Target } from '../../../src/wires/target.ts';
import type { JsonObject } from '../../../src/wires/wire.ts';

/** A body as the surface gets it from a client. */
export function parsed(body: JsonObject | string, options: Partial<ParseOptions> = {}): InferenceRequest {
  const bytes = Buffer.from(typeof body === 'string' ? body : JSON.stringify(body));
  const { value, verbatim } = parseJson(bytes);
  const read = { fields: value as JsonObject, verbatim: verbatim as JsonObject, bodyBytes: bytes.length };
  return surface.parse(read, { streamDefault: false, ...options });
}

/** The same request as if it had come in another wire: rendered from its canonical form alone. */
export function ofAnotherWire(request: InferenceRequest): InferenceRequest {
  return { ...request, wire: 'openai-chat', fields: {}, own: {} };
}

export function target(traits: Partial<ModelTraits> = {}, more: Partial<Target> = {}): Target {
  return {
    providerId: 'anthropic',
    model: 'claude-test',
    maxOutputTokens: 64_000,
    takesImages: true,
    takesDocuments: true,
    takesRemoteMedia: true,
    traits: { ...PLAIN_TRAITS, takesInlineSystem: true, ...traits },
    dialect: PLAIN_DIALECT,
    allowParameters: [],
    ...more,
  };
}

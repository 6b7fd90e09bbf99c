import { asObject, isObject, objectsIn } from '../json-object.ts';
import { asksForLongCache } from '../long-cache.ts';
import type { InferenceRequest } from '../request.ts';
import type { Target } from '../target.ts';
import { tenantCacheKey } from '../tenant.ts';
import type { JsonObject, Rendering } from '../wire.ts';
import { withoutMediaData } from './media.ts';
import { PATH } from './render.ts';
import { withoutLooseReasoning } from './render-items.ts';
import { isReadableReasoning } from './sealed.ts';
import { hostedTypes, isRunByClient } from './tools.ts';

/** Codex's notes about its own sessions. */
const CLIENT_NOTES = 'internal_chat_message_metadata_passthrough';

/** A request that came in this wire, as it was sent but for what the gateway decides and the provider cannot take. */
export function renderVerbatim(request: InferenceRequest, target: Target): Rendering {
  const { dialect } = target;
  const fields: JsonObject = { ...request.fields };
  const ignored = [...hostedTypes(fields['tools']), ...Object.keys(request.extras)];
  if (ignored.length > 0) fields['tools'] = objectsIn(fields['tools']).filter(isRunByClient);
  if (Array.isArray(fields['tools']) && fields['tools'].length === 0) delete fields['tools'];
  if (Array.isArray(fields['input'])) fields['input'] = sentItems(fields['input'] as unknown[]);
  for (const name of [...dialect.drops, ...refusedSampling(fields, target)]) {
    if (fields[name] === undefined) continue;
    ignored.push(name);
    delete fields[name];
  }
  let text: string | undefined;
  const whole = (): string => (text ??= JSON.stringify(fields));
  const hasMedia = request.media.images + request.media.documents > 0;
  return {
    path: PATH,
    headers: [],
    ignored: [...new Set(ignored)],
    get cachesLong() {
      return asksForLongCache(fields, whole());
    },
    promptText: () => (hasMedia ? JSON.stringify({ ...fields, input: withoutMediaData(fields['input'] as unknown[]) }) : whole()),
    body(outputTokens, accountHash) {
      const own = ownFields(request, target, outputTokens, accountHash);
      return Buffer.from(`${JSON.stringify(own).slice(0, -1)},${whole().slice(1)}`);
    },
  };
}

/** The same list where nothing has to be left out, as in most requests. */
function sentItems(input: readonly unknown[]): readonly unknown[] {
  const isUnreadable = (item: unknown): boolean => isObject(item) && item['type'] === 'reasoning' && !isReadableReasoning(item);
  const hasNotes = (item: unknown): boolean => isObject(item) && item[CLIENT_NOTES] !== undefined;
  if (!input.some((item) => isUnreadable(item) || hasNotes(item))) return input;
  const kept = input.filter((item) => !isUnreadable(item)).map((item) => (hasNotes(item) ? withoutNotes(item as JsonObject) : item));
  return withoutLooseReasoning(kept as JsonObject[]);
}

function withoutNotes({ [CLIENT_NOTES]: _notes, ...item }: JsonObject): JsonObject {
  return item;
}

function refusedSampling(fields: JsonObject, { traits }: Target): string[] {
  if (traits.sampling === 'refused') return ['temperature', 'top_p'];
  return traits.sampling === 'one' && fields['temperature'] !== undefined ? ['top_p'] : [];
}

/** What the gateway itself decides of an upstream body. */
function ownFields({ own, stream }: InferenceRequest, target: Target, outputTokens: number, accountHash: string): JsonObject {
  const cacheKey = own['prompt_cache_key'];
  const obfuscation = asObject(own['stream_options'])['include_obfuscation'];
  const decided: JsonObject = {
    model: target.model,
    max_output_tokens: Math.min(outputTokens, target.maxOutputTokens),
    store: false,
    ...(stream && { stream: true }),
    ...(stream && typeof obfuscation === 'boolean' && { stream_options: { include_obfuscation: obfuscation } }),
    ...(typeof own['user'] === 'string' && { user: accountHash }),
    ...(typeof own['safety_identifier'] === 'string' && { safety_identifier: accountHash }),
    ...(typeof cacheKey === 'string' && { prompt_cache_key: tenantCacheKey(accountHash, cacheKey) }),
  };
  for (const name of target.dialect.drops) delete decided[name];
  return decided;
}

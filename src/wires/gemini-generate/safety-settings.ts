import { member } from '../json-object.ts';
import type { JsonObject } from '../wire.ts';

const CATEGORIES = new Set(
  ['HARASSMENT', 'HATE_SPEECH', 'SEXUALLY_EXPLICIT', 'DANGEROUS_CONTENT', 'CIVIC_INTEGRITY'].map((name) => `HARM_CATEGORY_${name}`),
);
const THRESHOLDS = new Set(['BLOCK_LOW_AND_ABOVE', 'BLOCK_MEDIUM_AND_ABOVE', 'BLOCK_ONLY_HIGH', 'BLOCK_NONE', 'OFF']);

/** What a client said in `safety_settings`, in the API's own words; null where any of it is not among them, which would be refused. */
export function safetySettingsFrom(value: unknown): JsonObject[] | null {
  if (!Array.isArray(value) || value.length === 0 || value.length > CATEGORIES.size) return null;
  const settings = new Map<unknown, JsonObject>();
  for (const one of value) {
    const [category, threshold] = [member(one, 'category'), member(one, 'threshold')];
    if (!CATEGORIES.has(category as string) || !THRESHOLDS.has(threshold as string) || settings.has(category)) return null;
    settings.set(category, { category, threshold });
  }
  return [...settings.values()];
}

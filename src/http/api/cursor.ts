import { z } from 'zod';
import { GatewayError } from '../../errors.ts';

const MAX_LIMIT = 200;
const DEFAULT_LIMIT = 50;

const limit = z
  .string()
  .regex(/^\d{1,9}$/, 'must be a whole number')
  .transform(Number)
  .pipe(z.number().min(1, 'must be 1 or more').max(MAX_LIMIT, `must be ${MAX_LIMIT} or less`));

/** As `/openapi.json` tells it. */
const AS_NUMBER = { type: 'integer', pattern: undefined, minimum: 1, maximum: MAX_LIMIT } as const;

/** `limit` of lists: 1 to 200. */
export const limitParameter = limit.default(DEFAULT_LIMIT).meta({ override: { ...AS_NUMBER, default: DEFAULT_LIMIT } });
/** The same, where a list that was asked for without it has a length of its own. */
export const optionalLimit = limit.optional().meta({ override: AS_NUMBER });

/** The parts of a position in a list, made opaque so that nobody builds on them. */
export function encodeCursor(parts: readonly string[]): string {
  return Buffer.from(JSON.stringify(parts)).toString('base64url');
}

/**
 * The parts of `?cursor=`, each matching its pattern, or null at the start of a list.
 * Throws `invalid_request` for a cursor that this gateway did not make.
 */
export function decodeCursor(cursor: unknown, patterns: readonly RegExp[]): string[] | null {
  if (cursor === undefined) return null;
  const parts = typeof cursor === 'string' ? parseOrNull(Buffer.from(cursor, 'base64url').toString()) : null;
  const fits =
    Array.isArray(parts) &&
    parts.length === patterns.length &&
    parts.every((part, index) => typeof part === 'string' && patterns[index]?.test(part));
  if (!fits) throw new GatewayError('invalid_request', { message: 'cursor: not one of this list', param: 'cursor' });
  return parts as string[];
}

function parseOrNull(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

import { z } from 'zod';

/** The values that answers are made of, as `/openapi.json` tells them. */

export const aMoment = z.iso.datetime().meta({ description: 'ISO 8601, UTC.', example: '2026-11-03T17:31:04.120Z' });
export const anId = z.uuid().meta({ example: '019a7c1e-3b2f-7c44-9d1f-5a7b9e2d4c10' });
export const usd = z.number().meta({ description: 'USD.' });
export const count = z.int().min(0);
export const msat = z.int().meta({ description: 'Millisatoshi.' });
export const sats = z.int().meta({ description: 'Satoshi.' });
export const paymentHash = z
  .string()
  .regex(/^[0-9a-f]{64}$/)
  .meta({ description: 'Hex.' });
export const nextCursor = z.string().nullable().meta({ description: 'For `?cursor=` of the next page; null at the end.' });

/** The headers with which a request may name an amount, or be safely repeated. */
export const idempotencyKey = z
  .string()
  .min(1)
  .max(255)
  .regex(/^[\x20-\x7e]+$/)
  .meta({
    description: 'A repeat with the same key and the same body gets the answer of before, for 24 hours, and is not charged or paid again.',
    example: 'order-4711',
  });

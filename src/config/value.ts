import { isIP } from 'node:net';
import { z } from 'zod';
import { LARGEST_COST, picoUsdFromUsd } from '../amount.ts';

export const text = z.string().trim().min(1);
export const integer = (lowest: number, highest = Number.MAX_SAFE_INTEGER) =>
  z.string().regex(/^\d+$/, 'must be a whole number').transform(Number).pipe(z.number().min(lowest).max(highest));
export const decimal = (lowest: number, highest: number) =>
  z
    .string()
    .regex(/^\d+(\.\d+)?$/, 'must be a decimal number')
    .transform(Number)
    .pipe(z.number().min(lowest).max(highest));
export const usd = z
  .string()
  .regex(/^\d{1,9}(\.\d{1,12})?$/, 'must be an amount in USD')
  .transform(picoUsdFromUsd)
  .refine((amount) => amount <= LARGEST_COST, 'must be 1000000 or less');
export const flag = z.enum(['true', 'false', '1', '0', '']).transform((value) => value === 'true' || value === '1');
export const list = z.string().transform((value) =>
  value
    .split(',')
    .map((item) => item.trim())
    .filter(Boolean),
);
/** What a file holds, in hex or base64; a certificate as it is. */
export const bytes = text.regex(/^-----BEGIN|^[A-Za-z0-9+/_\s-]+={0,2}$/, 'must be hex or base64').transform(decodeBytes);
export const httpUrl = z.url({ protocol: /^https?$/ }).transform((value) => value.replace(/\/+$/, ''));

/** `name=value,name=value`, with values percent-encoded, as OpenTelemetry's variables have them. */
export const headers = text.transform((value, context) => {
  const pairs = value.split(',').map((pair) => /^\s*([\w!#$&'*.^`|~+-]+)\s*=\s*(.*?)\s*$/.exec(pair));
  const decoded = pairs.map((pair) => [pair?.[1], decodedHeader(pair?.[2])] as const);
  if (decoded.every(([name, content]) => name !== undefined && content !== null))
    return Object.fromEntries(decoded) as Record<string, string>;
  context.addIssue({ code: 'custom', message: 'must be name=value, separated by commas' });
  return z.NEVER;
});

function decodedHeader(value = ''): string | null {
  try {
    const content = decodeURIComponent(value);
    return /^[\t -~]*$/.test(content) ? content : null;
  } catch {
    return null;
  }
}

export const addressRange = list.refine(
  (ranges) => ranges.every((range) => isIP(range.split('/')[0] ?? '') !== 0 || ['loopback', 'linklocal', 'uniquelocal'].includes(range)),
  'must be a list of addresses, CIDR ranges, or loopback, linklocal, uniquelocal',
);

/** Far above any model's context, output or image. */
const MOST_TOKENS = 1_000_000_000;
export const tokens = z.int().min(1).max(MOST_TOKENS);

/** Hex where it is hex, else base64 of either alphabet, but for a PEM file's own text. */
function decodeBytes(value: string): Buffer {
  if (value.startsWith('-----BEGIN')) return Buffer.from(value);
  const packed = value.replace(/\s+/g, '');
  return Buffer.from(packed, /^[0-9a-f]+$/i.test(packed) ? 'hex' : 'base64');
}

/** The problems that a failed parse found, by name and without any value: a misplaced secret must not reach a log. */
export function describeProblems(error: z.ZodError): string {
  return error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`).join('; ');
}

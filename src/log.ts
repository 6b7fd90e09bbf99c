import { pino, stdSerializers, type DestinationStream, type Logger } from 'pino';
import { LogOutput } from './log-output.ts';

export type { Logger };

/** Never logged, wherever they appear: credentials, and what people say to models. */
const REDACTED = [
  'authorization',
  'key',
  'secret',
  'apiKey',
  'preimage',
  'token',
  'macaroon',
  'password',
  'body',
  'prompt',
  'messages',
  '*.authorization',
  '*.key',
  '*.secret',
  '*.apiKey',
  '*.preimage',
  '*.token',
  '*.macaroon',
  '*.password',
  '*.body',
  '*.prompt',
  '*.messages',
  'headers["x-api-key"]',
  'headers["x-provider-key"]',
  'headers.authorization',
  'headers.cookie',
  'headers["payment-signature"]',
  'headers["www-authenticate"]',
  'headers["payment-required"]',
];

/**
 * A JSON logger that redacts secrets and prompts. `error` is for what should never happen; outside events are `warn`.
 */
export function createLog(level: string, destination: DestinationStream = new LogOutput()): Logger {
  const options = { level, base: null, redact: { paths: REDACTED, censor: '[redacted]' }, serializers: { err: describeError } };
  return pino(options, destination);
}

/**
 * What of an error is logged. Libraries hang more on theirs than a log may hold: PostgreSQL's carry whole rows (`detail`), and those of
 * idle connections the connection with its keys.
 */
function describeError(error: unknown): unknown {
  if (!(error instanceof Error)) return error;
  const { type, message, stack } = stdSerializers.err(error);
  return { type, message, code: (error as { code?: unknown }).code, stack };
}

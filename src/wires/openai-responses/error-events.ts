import type { ErrorObject, JsonObject } from '../wire.ts';
import { responseId } from './response-object.ts';

/**
 * The last events of a stream that broke off. SDKs raise `error`; Codex shows the message of `response.failed` alone. Their numbers are their
 * own: what was handed on before them is not known here.
 */
export function errorEvents({ error }: ErrorObject, requestId: string): string {
  const { code = null, message = '', param = null } = error;
  const response = {
    id: responseId(requestId),
    object: 'response',
    created_at: Math.floor(Date.now() / 1000),
    status: 'failed',
    error: { ...error, code, message },
    incomplete_details: null,
    output: [],
    usage: null,
  };
  return [event('error', 0, { code, message, param, error }), event('response.failed', 1, { response })].join('');
}

function event(type: string, number: number, fields: JsonObject): string {
  return `event: ${type}\ndata: ${JSON.stringify({ type, sequence_number: number, ...fields })}\n\n`;
}

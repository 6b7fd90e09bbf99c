import { describe, expect, it } from '@jest/globals';
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { faultOfAnswer, type Fault } from '../../src/providers/fault.ts';

const RECORDED = fileURLToPath(new URL('../../../shared/transcripts/', import.meta.url));

/** Every error that was recorded: whose fault it is with the operator's key, and with the client's own. */
const RECORDED_FAULTS: Readonly<Record<string, readonly [Fault, Fault]>> = {
  'anthropic/error-400-effort.json': ['request', 'request'],
  'anthropic/error-400-prompt-too-long.json': ['request', 'request'],
  'anthropic/error-401.json': ['operator', 'request'],
  'anthropic/error-529.json': ['provider', 'provider'],
  'deepseek/error-400-context.json': ['request', 'request'],
  'gemini/error-400-key.json': ['operator', 'request'],
  'gemini/error-404.json': ['operator', 'request'],
  'gemini/error-429.json': ['provider', 'provider'],
  'groq/error-400-tool-use-failed.json': ['request', 'request'],
  'groq/error-404.json': ['operator', 'request'],
  'openai-chat/error-400-image-url.json': ['request', 'request'],
  'openai-chat/error-400-max-tokens.json': ['request', 'request'],
  'openai-chat/error-400-role.json': ['request', 'request'],
  'openai-chat/error-400-temperature.json': ['request', 'request'],
  'openai-chat/error-404-model.json': ['operator', 'request'],
  'openai-chat/error-429-quota.json': ['operator', 'request'],
  'openai-completions/error-400.json': ['request', 'request'],
  'openai-embeddings/error-400.json': ['request', 'request'],
  'openai-responses/error-400-context.json': ['request', 'request'],
  'openai-responses/error-400-reasoning-item.json': ['request', 'request'],
  'openai-responses/error-401.json': ['operator', 'request'],
};

const openAi = (type: string, code: string | null = null, message = 'said so') => ({ error: { message, type, code, param: null } });
const anthropic = (type: string, message = 'said so') => ({ type: 'error', error: { type, message }, request_id: 'req_1' });
const google = (code: number, status: string, reason?: string) => ({
  error: { code, message: 'said so', status, details: reason ? [{ '@type': 'type.googleapis.com/google.rpc.ErrorInfo', reason }] : [] },
});

/** What providers document and nobody recorded. */
const DOCUMENTED: readonly (readonly [what: string, status: number, body: unknown, fault: Fault])[] = [
  ['OpenAI, overloaded', 503, openAi('server_error', 'server_is_overloaded'), 'provider'],
  ['OpenAI, too fast', 429, openAi('requests', 'rate_limit_exceeded'), 'provider'],
  ['OpenAI, spent', 429, openAi('insufficient_quota', 'credit_balance_exhausted'), 'operator'],
  ['OpenAI, forbidden country', 403, openAi('request_forbidden', 'unsupported_country_region_territory'), 'operator'],
  [
    'Anthropic, no money',
    400,
    anthropic('invalid_request_error', 'Your credit balance is too low to access the Anthropic API.'),
    'operator',
  ],
  [
    'Anthropic, spend limit',
    400,
    anthropic('invalid_request_error', 'You have reached your specified API usage limits. You will regain access on 2026-12-01.'),
    'operator',
  ],
  ['Anthropic, a tool called billing', 400, anthropic('invalid_request_error', 'tools.0.custom.name: billing limits'), 'request'],
  ['Anthropic, billing', 402, anthropic('billing_error'), 'operator'],
  ['Anthropic, permission', 403, anthropic('permission_error'), 'operator'],
  ['Anthropic, too large', 413, anthropic('request_too_large'), 'request'],
  ['Anthropic, slow', 504, anthropic('timeout_error'), 'provider'],
  ['Gemini, bad argument', 400, google(400, 'INVALID_ARGUMENT'), 'request'],
  ['Gemini, region or billing', 400, google(400, 'FAILED_PRECONDITION'), 'operator'],
  ['Gemini, key expired, in a list', 400, [google(400, 'INVALID_ARGUMENT', 'API_KEY_INVALID')], 'operator'],
  ['Gemini, unavailable', 503, google(503, 'UNAVAILABLE'), 'provider'],
  ['Groq, flex capacity', 498, openAi('capacity', 'flex_capacity'), 'provider'],
  ['Groq, one request above the minute', 413, openAi('tokens', 'rate_limit_exceeded'), 'provider'],
  ['Groq, too large', 413, openAi('invalid_request_error', 'request_too_large'), 'request'],
  ['Groq, model retired', 400, openAi('invalid_request_error', 'model_decommissioned'), 'operator'],
  ['Groq, restricted', 400, openAi('invalid_request_error', 'organization_restricted'), 'operator'],
  ['DeepSeek, no balance', 402, openAi('unknown_error', 'invalid_request_error', 'Insufficient Balance'), 'operator'],
  ['DeepSeek, bad parameters', 422, openAi('invalid_request_error', 'invalid_request_error'), 'request'],
  ['Moonshot, spent', 429, { error: { type: 'exceeded_current_quota_error', message: 'said so' } }, 'operator'],
  ['Moonshot, overloaded', 429, { error: { type: 'engine_overloaded_error', message: 'said so' } }, 'provider'],
  ['Moonshot, content', 400, { error: { type: 'content_filter', message: 'said so' } }, 'request'],
  ['a page of a proxy', 502, '<html><h1>Bad gateway</h1></html>', 'provider'],
  ['a redirect', 307, '', 'provider'],
  ['nothing', 400, '', 'request'],
];

describe('whose fault a refusal is', () => {
  it.each(DOCUMENTED)('%s', (_what, status, body, fault) => {
    const text = typeof body === 'string' ? body : JSON.stringify(body);
    expect(faultOfAnswer(status, text)).toBe(fault);
    expect(faultOfAnswer(status, text, true)).toBe(fault === 'operator' ? 'request' : fault);
  });

  const recorded = existsSync(RECORDED)
    ? (JSON.parse(readFileSync(`${RECORDED}index.json`, 'utf8')) as { file: string; status: number }[]).filter(
        ({ status }) => status >= 400,
      )
    : [];
  if (recorded.length === 0) {
    it.skip('is known of every recorded error: ../shared/transcripts is not there', () => {});
    return;
  }

  it.each(recorded)('is known of $file', ({ file, status }) => {
    const text = readFileSync(RECORDED + file, 'utf8');
    expect([faultOfAnswer(status, text), faultOfAnswer(status, text, true)]).toEqual(RECORDED_FAULTS[file]);
  });
});

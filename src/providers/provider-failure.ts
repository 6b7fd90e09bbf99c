import { faultOf, type Fault, type Refusal } from './fault.ts';
import type { UpstreamAnswer } from './provider.ts';
import { member } from '../wires/openai-chat/wire-chunk.ts';
import { failureReason, providerReason } from './provider-reason.ts';

/** Why a provider gave no completion, where the request is not at fault. */
export interface ProviderFailure {
  /** A status, or what happened instead of one. */
  readonly reason: string;
  /** The provider's own words, as far as clients may have them. They may quote the prompt, so no log gets them. */
  readonly words: string | null;
  /** Whether nothing but the operator's own doing helps: its credential, its bill, its choice of model. */
  readonly operatorsFault: boolean;
  /** How long the provider asks to wait; null where it does not. */
  readonly retryAfterSeconds: number | null;
}

const MOST_CHARACTERS = 200;
const MOST_SECONDS = 86_400;

/** URLs, addresses, and what looks like a key or an account's id. */
const SECRETS = [
  /\b[a-z][a-z0-9+.-]*:\/\/\S+/gi,
  /\b\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?\b|\[[0-9a-f:]*:[0-9a-f:]*\](?::\d+)?/gi,
  /\b(?:localhost|[\w-]+(?:\.[\w-]+)+):\d{2,5}\b|\b[\w-]+(?:\.[\w-]+)*\.(?:internal|local|lan|svc)\b/gi,
  /\bbearer\s+\S+|\b(?:sk|pk|rk|gsk|xai|hf|org|proj|acct)[-_][\w-]{6,}|\bAIza[\w-]{20,}/gi,
];

/** Reads an answer that is no completion. What concerns the operator's account is not told to clients, nor any address or credential. */
export function providerFailure({ status, headers }: UpstreamAnswer, text: string, isOwnKey = false): ProviderFailure {
  return {
    reason: `HTTP ${status}`,
    ...tellable({ status, reason: providerReason(text), text }, isOwnKey),
    retryAfterSeconds: retryAfterOf(headers, text),
  };
}

/** Reads the failure that a provider tells of where an answer should begin, under a status that promised one. */
export function toldFailure(
  reason: string,
  failure: unknown,
  { censor, isOwnKey = false }: { censor: (text: string) => string; isOwnKey?: boolean },
): ProviderFailure & { readonly fault: Fault } {
  const said = failureReason(failure);
  const refusal = { status: statusIn(failure), reason: said && { ...said, message: censor(said.message) }, text: '' };
  return { reason, ...tellable(refusal, isOwnKey), retryAfterSeconds: null, fault: faultOf(refusal, isOwnKey) };
}

/** The status that a failure names which came with another; 500 where it names none. */
function statusIn(failure: unknown): number {
  const inner = member(failure, 'error') ?? failure;
  const named = [failure, inner].flatMap((holder) => [member(holder, 'status_code'), member(holder, 'code')]).map(Number);
  return named.find((status) => status >= 400 && status <= 599) ?? 500;
}

function tellable(refusal: Refusal, isOwnKey: boolean): Pick<ProviderFailure, 'words' | 'operatorsFault'> {
  const { status, reason } = refusal;
  const operatorsFault = faultOf(refusal, isOwnKey) === 'operator';
  const isTold = !operatorsFault && reason !== null && !(status < 400);
  return { operatorsFault, words: isTold ? withoutSecrets(reason.message).slice(0, MOST_CHARACTERS).toWellFormed() : null };
}

function withoutSecrets(text: string): string {
  return SECRETS.reduce((left, secret) => left.replace(secret, '…'), text);
}

/**
 * `retry-after-ms`, `Retry-After` as seconds or as a date (RFC 9110, 10.2.3), or Google's `retryDelay` in the body; in whole seconds
 * from 1 to a day.
 */
export function retryAfterOf(headers: UpstreamAnswer['headers'], text: string): number | null {
  const header = String(headers['retry-after'] ?? '').trim();
  const inMilliseconds = decimalOf(String(headers['retry-after-ms'] ?? '').trim());
  const seconds =
    (inMilliseconds === null ? null : inMilliseconds / 1000) ??
    decimalOf(header) ??
    (header.endsWith('GMT') ? (Date.parse(header) - Date.now()) / 1000 : null) ??
    decimalOf(/"retryDelay"\s*:\s*"([\d.]+)s"/.exec(text)?.[1] ?? '');
  return seconds === null || Number.isNaN(seconds) ? null : Math.min(Math.max(1, Math.ceil(seconds)), MOST_SECONDS);
}

function decimalOf(value: string): number | null {
  return /^\d{1,12}(?:\.\d+)?$/.test(value) ? Number(value) : null;
}

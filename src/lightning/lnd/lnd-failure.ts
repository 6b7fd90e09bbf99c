import { GatewayError } from '../../errors.ts';
import { DeadlineError } from '../deadline.ts';

/** Why a call of LND's failed. */
export interface LndFailure {
  kind: 'locked' | 'starting' | 'refused' | 'silent' | 'unreachable' | 'another-node' | 'exists' | 'not-found' | 'other';
  /** For the log. */
  detail: string;
}

/** gRPC's status codes. */
const CANCELLED = 1;
const DEADLINE_EXCEEDED = 4;
const NOT_FOUND = 5;
const ALREADY_EXISTS = 6;
const PERMISSION_DENIED = 7;
const INTERNAL = 13;
const UNAVAILABLE = 14;
const UNAUTHENTICATED = 16;

/** LND tells the state of its wallet in words (rpcperms/interceptor.go), with the code of an unknown error. */
const WORDS: readonly [RegExp, LndFailure['kind']][] = [
  [/wallet locked|wallet not created|unknown service lnrpc\.Lightning/i, 'locked'],
  [/waiting to start|in the process of starting/i, 'starting'],
  [/unable to locate invoice|there are no existing invoices/i, 'not-found'],
  [/invoice with payment hash already exists/i, 'exists'],
  [/verification failed|permission denied|cannot get macaroon|macaroon/i, 'refused'],
];
const CODES: Readonly<Record<number, LndFailure['kind']>> = {
  [NOT_FOUND]: 'not-found',
  [ALREADY_EXISTS]: 'exists',
  [PERMISSION_DENIED]: 'refused',
  [UNAUTHENTICATED]: 'refused',
  [UNAVAILABLE]: 'unreachable',
};
/** What `lightning` makes of some errors before we see them. */
const NAMES: Readonly<Record<string, LndFailure['kind']>> = {
  LndLocked: 'locked',
  FailedToConnectToDaemon: 'unreachable',
  InvoiceWithGivenHashAlreadyExists: 'exists',
};

/** An error of `lightning`. */
type LibraryError = [unknown, unknown, { err?: { code?: number; details?: string } }?];
/** Codes that gRPC itself, or what stands between, gives to a call that did not get to LND, or whose answer did not get here. */
const NOT_LNDS: readonly number[] = [CANCELLED, DEADLINE_EXCEEDED, INTERNAL, UNAVAILABLE];

/** Whether an error is LND's own answer, which tells that the connection works. */
export function isLndsAnswer(error: unknown): boolean {
  const { kind } = lndFailure(error);
  if (kind !== 'other') return kind !== 'unreachable';
  const code = Array.isArray(error) ? (error as LibraryError)[2]?.err?.code : undefined;
  return code !== undefined && !NOT_LNDS.includes(code);
}

/** Reads an error of `lightning`, which throws arrays: a number like an HTTP status, a name, and mostly `{err}` of gRPC. */
export function lndFailure(error: unknown): LndFailure {
  if (!Array.isArray(error)) return { kind: 'other', detail: error instanceof Error ? error.message : String(error) };
  const [status, name, more] = error as LibraryError;
  const { code, details = '' } = more?.err ?? {};
  const kind =
    NAMES[String(name)] ?? WORDS.find(([words]) => words.test(details))?.[1] ?? (code === undefined ? undefined : CODES[code]) ?? 'other';
  return { kind, detail: [status, name, details].filter(Boolean).join(' ') };
}

/** The public face of a failure of LND's, with what really happened as its cause. */
export function lightningUnavailable(error: unknown): GatewayError {
  if (error instanceof GatewayError) return error;
  const failure: LndFailure = error instanceof DeadlineError ? { kind: 'silent', detail: error.message } : lndFailure(error);
  return new GatewayError('lightning_unavailable', { retryAfter: 5, cause: new LndError(failure) });
}

/** The failure that it is when another node answers in place of the one that the gateway started with: its word is none. */
export function anotherNode(expected: string, found: string | undefined): GatewayError {
  const detail = `another node answers: ${found ?? 'unknown'} instead of ${expected}; start the gateway again to use it`;
  return new GatewayError('lightning_unavailable', { cause: new LndError({ kind: 'another-node', detail }) });
}

class LndError extends Error {
  override name = 'LndError';
  readonly failure: LndFailure;

  constructor(failure: LndFailure) {
    super(failure.detail);
    this.failure = failure;
  }
}

const REASONS: Record<LndFailure['kind'], string> = {
  locked: 'the wallet of LND is locked',
  starting: 'LND is starting',
  refused: 'LND refuses the macaroon',
  silent: 'LND does not answer',
  unreachable: 'LND cannot be reached',
  'another-node': 'another node answers in place of LND: start the gateway again to use it',
  exists: 'LND failed',
  'not-found': 'LND failed',
  other: 'LND failed',
};

/** Why LND is not ready, for `/ready` and `/api/status`: in our words, for its own may tell of the operator's network. */
export function reasonOf(error: unknown): string {
  const { cause } = error instanceof Error ? error : {};
  return cause instanceof LndError ? REASONS[cause.failure.kind] : 'LND failed';
}

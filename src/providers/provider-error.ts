/** How an exchange with a provider ended without a whole answer. */
export type ProviderErrorKind = 'connect' | 'timeout' | 'reset' | 'aborted' | 'protocol';

/**
 * A provider gave no answer, or broke one off. The message is for the log; nothing of it is shown to clients.
 * `connect`: no connection; `timeout`: silent for too long; `reset`: connection lost; `aborted`: by our own signal;
 * `protocol`: what came is not HTTP, or more than we take.
 */
export class ProviderError extends Error {
  readonly kind: ProviderErrorKind;

  constructor(kind: ProviderErrorKind, message: string, cause?: unknown) {
    super(message, { cause });
    this.name = 'ProviderError';
    this.kind = kind;
  }

  /** Whether another candidate may be tried: always, unless it was us who ended it. */
  get retryable(): boolean {
    return this.kind !== 'aborted';
  }
}

/**
 * A caller's own key at a provider. The secret is in no property, so that neither JSON nor a log nor an error can have it, and is given out
 * for the provider alone that the key is bound to.
 */
export class CallerKey {
  /** The provider that the key is of; undefined while nothing has told. */
  readonly providerId: string | undefined;
  readonly #secret: string;

  constructor(secret: string, providerId?: string) {
    this.#secret = secret;
    this.providerId = providerId;
  }

  /** The same key, of the provider that the request's model is of. */
  boundTo(providerId: string): CallerKey {
    if (this.providerId !== undefined && this.providerId !== providerId) throw new Error(`a key of ${this.providerId} for ${providerId}`);
    return new CallerKey(this.#secret, providerId);
  }

  /** What goes into the request to `providerId`. */
  secretFor(providerId: string): string {
    if (this.providerId !== providerId) throw new Error(`a key of ${this.providerId ?? 'nobody'} for ${providerId}`);
    return this.#secret;
  }
}

import { GatewayError } from '../../errors.ts';

/** Whose body is being received: one account's, or that of somebody without a credential at an address. */
export interface BodyHolder {
  readonly name: string;
  /** Whether it has shown a credential. */
  readonly isKnown: boolean;
}

export interface BodyIntakeLimits {
  /** Bytes of all bodies together. */
  total: number;
  /** Of all of those without a credential. */
  strangers: number;
  /** Of one account, and of one address without a credential. */
  account: number;
  address: number;
}

const MB = 1024 * 1024;
const LIMITS: BodyIntakeLimits = { total: 256 * MB, strangers: 32 * MB, account: 64 * MB, address: 8 * MB };
/** What a piece of a body takes besides its bytes. */
const PIECE_BYTES = 256;

/**
 * The bodies that are being received, and the memory that they hold: who sends nine of ten megabytes and then nothing may keep them for two
 * minutes. Where it is too much, the largest body is given up, not the next one to come: a short request is taken whatever others withhold.
 */
export class BodyIntake {
  readonly #limits: BodyIntakeLimits;
  readonly #bodies = new Set<ReceivedBody>();
  readonly #held = new Map<string, number>();
  #heldByAll = 0;
  #heldByStrangers = 0;

  constructor(limits: BodyIntakeLimits = LIMITS) {
    this.#limits = limits;
  }

  /** Bytes held now. */
  get heldBytes(): number {
    return this.#heldByAll;
  }

  /** Holders of bodies that are being received now. */
  get holders(): number {
    return this.#held.size;
  }

  /** Begins with a body; `giveUp` is called with what its sender is to be told where others need its place. */
  begin(holder: BodyHolder, giveUp: (error: GatewayError) => void): ReceivedBody {
    const body = new ReceivedBody(holder, giveUp, (bytes) => this.#hold(body, bytes));
    return body;
  }

  /** Lets go of a body, received or not. */
  end(body: ReceivedBody): void {
    if (!this.#bodies.delete(body)) return;
    this.#count(body.holder, -body.heldBytes);
  }

  #hold(body: ReceivedBody, bytes: number): void {
    this.#bodies.add(body);
    this.#count(body.holder, bytes);
    body.heldBytes += bytes;
    const { total, strangers, account, address } = this.#limits;
    const held = this.#held.get(body.holder.name) ?? 0;
    // One body alone may always be as large as its own limit says.
    if (held > (body.holder.isKnown ? account : address) && held > body.heldBytes)
      return this.#giveUp(body, 'Too many requests are half sent.');
    if (!body.holder.isKnown && this.#heldByStrangers > strangers) this.#giveUpLargest((each) => !each.holder.isKnown);
    if (this.#heldByAll > total) this.#giveUpLargest(() => true);
  }

  #giveUpLargest(among: (body: ReceivedBody) => boolean): void {
    const candidates = [...this.#bodies].filter(among);
    if (candidates.length < 2) return;
    this.#giveUp(
      candidates.reduce((largest, body) => (body.heldBytes > largest.heldBytes ? body : largest)),
      'The gateway is busy receiving other requests. Try again shortly.',
    );
  }

  #giveUp(body: ReceivedBody, message: string): void {
    this.end(body);
    body.giveUp(new GatewayError('overloaded', { message, retryAfter: 1 }));
  }

  #count({ name, isKnown }: BodyHolder, bytes: number): void {
    const held = (this.#held.get(name) ?? 0) + bytes;
    if (held > 0) this.#held.set(name, held);
    else this.#held.delete(name);
    this.#heldByAll += bytes;
    if (!isKnown) this.#heldByStrangers += bytes;
  }
}

/** One body as far as it has come. However small the pieces are in which it comes, it takes little more memory than its bytes. */
export class ReceivedBody {
  readonly holder: BodyHolder;
  readonly giveUp: (error: GatewayError) => void;
  /** As the intake counts it. */
  heldBytes = 0;
  length = 0;
  readonly #hold: (bytes: number) => void;
  #bytes: Buffer | undefined;

  constructor(holder: BodyHolder, giveUp: (error: GatewayError) => void, hold: (bytes: number) => void) {
    this.holder = holder;
    this.giveUp = giveUp;
    this.#hold = hold;
  }

  add(piece: Buffer): void {
    const before = this.length;
    this.length += piece.length;
    if (!this.#bytes) {
      this.#bytes = piece;
      return this.#hold(piece.length + PIECE_BYTES);
    }
    if (this.length > this.#bytes.length) {
      const larger = Buffer.allocUnsafeSlow(2 * this.length);
      this.#bytes.copy(larger, 0, 0, before);
      this.#bytes = larger;
      this.#hold(larger.length + PIECE_BYTES - this.heldBytes);
    }
    piece.copy(this.#bytes, before);
  }

  /** What has come. */
  bytes(): Buffer {
    return this.#bytes?.subarray(0, this.length) ?? Buffer.alloc(0);
  }
}

/** All that this process receives. */
export const bodyIntake = new BodyIntake();

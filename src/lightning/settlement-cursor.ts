import type { KnownNodes } from './known-nodes.ts';

interface Delivery {
  index: number;
  handled: boolean;
}

/**
 * One subscription's way through a node's settlements. They are dealt with side by side and end in any order; the stored index moves
 * only over those before which nothing is left, and only after each is credited or on the schedule. It is stored after the
 * credit has been committed, not with it: behind by some, it makes the node deliver those again, which credits nothing
 * twice; and credits that run side by side need not queue for one row.
 */
export class SettlementCursor {
  readonly #nodes: KnownNodes;
  readonly #nodeId: string;
  readonly #deliveries: Delivery[] = [];
  #reached = 0;
  #stored = 0;
  #storing = false;

  constructor(nodes: KnownNodes, nodeId: string) {
    this.#nodes = nodes;
    this.#nodeId = nodeId;
  }

  /**
   * Follows a settlement of the given index, in the order that the node sends them. Rejects where it was not dealt with, or the index not
   * stored: the subscription is then of no use any more, for what comes after must not move the index past this.
   */
  async follow(index: number, handling: Promise<boolean> | void): Promise<void> {
    const delivery: Delivery = { index, handled: false };
    this.#deliveries.push(delivery);
    delivery.handled = (await handling) ?? true;
    if (!delivery.handled) throw new Error(`the settlement with index ${index} was not dealt with`);
    while (this.#deliveries[0]?.handled) this.#reached = Math.max(this.#reached, this.#deliveries.shift()?.index ?? 0);
    await this.#store();
  }

  /** One write at a time, by whoever comes first; what is reached meanwhile goes with its next. */
  async #store(): Promise<void> {
    if (this.#storing) return;
    this.#storing = true;
    try {
      while (this.#stored < this.#reached) {
        const index = this.#reached;
        await this.#nodes.settledUpTo(this.#nodeId, index);
        this.#stored = index;
      }
    } finally {
      this.#storing = false;
    }
  }
}

import type { KnownNodes } from './known-nodes.ts';

interface Delivery {
  index: number;
  handled: boolean;
}

/**
 * One subscription's way through a node's settlements. The settlements are handled side by side and finish in
 * any order. The stored index moves over a settlement only once that one and all before it are credited or on
 * the schedule. The index is stored after the credit's commit and not with it, so that parallel credits need
 * not queue for one row. If the index is a little behind, the node delivers some settlements again, which
 * credits nothing twice.
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
   * Follows a settlement of the given index, in the order that the node sends them. Rejects if the settlement
   * was not dealt with or the index was not stored. The subscription is then of no more use, because a later
   * settlement must not move the index past this one.
   */
  async follow(index: number, handling: Promise<boolean> | void): Promise<void> {
    const delivery: Delivery = { index, handled: false };
    this.#deliveries.push(delivery);
    delivery.handled = (await handling) ?? true;
    if (!delivery.handled) throw new Error(`the settlement with index ${index} was not dealt with`);
    while (this.#deliveries[0]?.handled) this.#reached = Math.max(this.#reached, this.#deliveries.shift()?.index ?? 0);
    await this.#store();
  }

  /** One write at a time. What is reached during a write goes with the next one. */
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

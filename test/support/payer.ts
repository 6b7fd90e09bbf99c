import { fetch402, fetchWithL402, fetchWithMpp, fetchWithX402 } from '@getalby/lightning-tools/402';
import type { TestGateway } from './gateway.ts';

export type PayingFetch = typeof fetch402;

/** Agents' clients as they are published, and what of a request each needs. */
export const CLIENTS: readonly { name: string; fetch: PayingFetch; headers: Record<string, string> }[] = [
  { name: 'fetch402', fetch: fetch402, headers: {} },
  { name: 'fetchWithL402', fetch: fetchWithL402, headers: {} },
  { name: 'fetchWithMpp', fetch: fetchWithMpp, headers: { 'accept-payment': 'lightning/charge' } },
  { name: 'fetchWithX402', fetch: fetchWithX402, headers: {} },
];

/** An agent's wallet: pays through the simulated node, and knows what it paid. */
export class PayerWallet {
  readonly paid: { invoice: string; preimage: string }[] = [];
  readonly #gateway: Pick<TestGateway, 'pay'>;
  /** While true, the payment goes through and its answer is lost. */
  loseAnswers = false;

  constructor(gateway: Pick<TestGateway, 'pay'>) {
    this.#gateway = gateway;
  }

  async payInvoice({ invoice }: { invoice: string }): Promise<{ preimage: string }> {
    const preimage = (await this.#gateway.pay(invoice)).toString('hex');
    this.paid.push({ invoice, preimage });
    if (this.loseAnswers) throw new Error('the wallet gave no answer in time');
    return { preimage };
  }
}

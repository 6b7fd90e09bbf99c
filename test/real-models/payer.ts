import type { GatewayProcess } from '../support/gateway-process.ts';
import type { TestKey } from '../support/gateway.ts';
import { until } from '../support/until.ts';

/** A request as `/api/requests` tells of it. */
export interface RequestRow {
  id: string;
  path: string;
  model: string | null;
  stream: boolean;
  outcome: string;
  status: number;
  funding: string | null;
  promptTokens: number;
  completionTokens: number;
  costMsat: number;
  chargedMsat: number;
}

/** An account that pays by its wallet, seen through the gateway's own API. */
export interface Payer extends TestKey {
  /** Pays an invoice through the simulated node, and waits until it is credited. */
  pay(paymentRequest: string): Promise<void>;
  /** Adds to the wallet. */
  fund(sats: number): Promise<void>;
  /** Requests that have ended, newest first. */
  requests(): Promise<RequestRow[]>;
  /** Waits for the request after the `before` that had ended. */
  requestAfter(before: readonly RequestRow[]): Promise<RequestRow>;
  /** What the report says was charged, and what the charges of the statement add up to. */
  totals(): Promise<{ reportedMsat: number; statedMsat: number }>;
}

/** Makes an account without money. */
export async function newPayer(gateway: GatewayProcess): Promise<Payer> {
  const key = await gateway.newKey();
  const read = async <T>(path: string): Promise<T> => (await gateway.get(path, key)).json() as Promise<T>;
  const balance = async () => (await read<{ balanceMsat: number }>('/api/wallet/balance')).balanceMsat;
  const payer: Payer = {
    ...key,
    async pay(paymentRequest) {
      const before = await balance();
      const { status } = await gateway.post('/dev/lightning/pay', { paymentRequest });
      if (status !== 200) throw new Error(`the invoice was not paid: ${status}`);
      await until(async () => (await balance()) > before);
    },
    async fund(sats) {
      const { paymentRequest } = (await (await gateway.post('/api/wallet/fund', { amount: sats }, key)).json()) as {
        paymentRequest: string;
      };
      await payer.pay(paymentRequest);
    },
    requests: async () => (await read<{ requests: RequestRow[] }>('/api/requests?limit=100')).requests,
    requestAfter: (before) =>
      until(async () => {
        const known = new Set(before.map(({ id }) => id));
        // A charge can be seen before the record of its request.
        return (await payer.requests()).find(({ id, outcome }) => !known.has(id) && outcome !== 'unrecorded');
      }),
    async totals() {
      const { totalChargedMsat } = await read<{ totalChargedMsat: number }>('/api/report');
      let statedMsat = 0;
      let cursor: string | null = null;
      do {
        const page: StatementPage = await read(`/api/wallet/transactions?limit=100${cursor ? `&cursor=${cursor}` : ''}`);
        for (const { kind, amountMsat } of page.transactions) if (kind === 'charge') statedMsat -= amountMsat;
        cursor = page.nextCursor;
      } while (cursor);
      return { reportedMsat: totalChargedMsat, statedMsat };
    },
  };
  return payer;
}

interface StatementPage {
  transactions: { kind: string; amountMsat: number }[];
  nextCursor: string | null;
}

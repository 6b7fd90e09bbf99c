import type { Violation } from '../../src/ledger/audit.ts';
import { auditNode } from '../../src/node-audit/audit-node.ts';
import type { InvoiceView } from '../../src/invoices/invoice.ts';
import { startGateway, type GatewayOptions, type TestGateway, type TestKey } from '../support/gateway.ts';
import { until } from '../support/until.ts';
import type { LndNode } from './lnd-node.ts';

/** A whole gateway whose wallet is a real LND. */
export interface LndGateway extends TestGateway {
  /** A top-up's invoice, over HTTP. Throws where there is none. */
  topUp(key: TestKey, sats: number): Promise<InvoiceView>;
  /** What the ledger has of an account: its balance and its deposits, oldest first, in msat. */
  deposits(key: TestKey): Promise<bigint[]>;
  /** Resolves once the deposits of an account are these, without ever asking the gateway about an invoice. */
  credited(key: TestKey, deposits: readonly bigint[], withinMs?: number): Promise<void>;
  invoiceStatus(key: TestKey, invoiceId: string): Promise<string>;
  /** The ledger's violations, and the node's: nine invariants. */
  audit(): Promise<Violation[]>;
}

/** Starts a gateway on a node, with the least macaroon that it needs. `socket` is another way to the node. */
export async function startLndGateway(
  node: LndNode,
  { socket = node.socket, ...options }: GatewayOptions & { socket?: string } = {},
): Promise<LndGateway> {
  const env = {
    // Live prices would make the tests depend on the world.
    BTC_USD: '100000',
    LND_SOCKET: socket,
    LND_MACAROON: (await node.leastMacaroon()).toString('hex'),
    LND_CERT: node.cert.toString('base64'),
    ...options.env,
  };
  const gateway = await startGateway({ ...options, env });
  const deposits = async ({ accountId }: TestKey): Promise<bigint[]> => {
    const { rows } = await gateway.pool.query<{ amount_msat: bigint }>(
      `select amount_msat from transfers where account_id = $1 and kind = 'deposit' order by id`,
      [accountId],
    );
    return rows.map(({ amount_msat }) => amount_msat);
  };
  return {
    ...gateway,
    deposits,
    async topUp(key, sats) {
      const answer = await gateway.post('/api/wallet/fund', { amount: sats }, key);
      if (answer.status !== 201) throw new Error(`no invoice: ${answer.status} ${await answer.text()}`);
      return (await answer.json()) as InvoiceView;
    },
    async credited(key, expected, withinMs) {
      await until(async () => String(await deposits(key)) === String(expected), withinMs);
    },
    async invoiceStatus(key, invoiceId) {
      const answer = await gateway.get(`/api/wallet/status?invoiceId=${invoiceId}`, key);
      return ((await answer.json()) as { status: string }).status;
    },
    audit: async () => [...(await gateway.audit()), ...(await auditNode(gateway.pool, gateway.server.wallet))],
  };
}

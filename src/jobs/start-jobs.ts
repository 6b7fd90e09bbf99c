import { Sessions } from '../accounts/sessions.ts';
import { forgetWalletSignIns } from '../accounts/wallet-sign-ins.ts';
import type { Autopay } from '../autopay/autopay.ts';
import type { Config } from '../config/config.ts';
import type { Pool } from '../db/postgres.ts';
import type { Funding } from '../funding.ts';
import type { Gateway } from '../gateway.ts';
import { auditJob } from './audit-ledger.ts';
import { nodeAuditJob } from './audit-node.ts';
import { every } from './every.ts';
import { followOldNode } from './follow-old-node.ts';
import { forgetAnswers } from './forget-answers.ts';
import type { OpenElsewhereWatch } from './open-elsewhere-watch.ts';
import { reconcileInvoices } from './reconcile-invoices.ts';
import { reconcileWithdrawals } from './reconcile-withdrawals.ts';
import { refundUndelivered } from './refund-undelivered.ts';
import { shareHealth } from './share-health.ts';
import { sweepHolds } from './sweep-holds.ts';
import { watchNetwork } from './watch-network.ts';
import { watchOlderSecrets } from './watch-older-secrets.ts';
import { OperatorSessions } from '../operator/operator-sessions.ts';
import { rollLedgerDays } from '../ledger/ledger-days.ts';
import type { Holds } from '../ledger/holds.ts';
import { UsageHours } from '../ledger/usage-hours.ts';
import type { Wallet } from '../lightning/wallet.ts';
import type { Logger } from '../log.ts';
import type { ExchangeRate } from '../pricing/exchange-rate.ts';
import type { FleetHealth } from '../routing/fleet-health.ts';
import type { Withdrawing } from '../withdrawing.ts';

export interface JobDeps {
  config: Config;
  log: Logger;
  connectionString: string;
  pool: Pool;
  gateway: Gateway;
  holds: Holds;
  funding: Funding;
  withdrawing: Withdrawing;
  autopay: Autopay;
  wallet: Wallet;
  oldWallets: readonly Wallet[];
  openElsewhere: OpenElsewhereWatch;
  exchangeRate: ExchangeRate;
  health: FleetHealth;
}

const SWEEP_MS = 5_000;
/** Often: a client that was told of a failure looks at its balance. Asks a table of as many rows as there are gateways. */
const REFUND_MS = 1_000;
const AUTOPAY_MS = 3_000;
const RATE_MS = 60_000;
const NETWORK_MS = 15_000;
const ELSEWHERE_MS = 60_000;
/** What was charged since then, a report takes from the holds themselves. */
const USAGE_MS = 10_000;
const LEDGER_DAYS_MS = 60_000;
const HOUR_MS = 3_600_000;

/** Starts what goes on in the background: watching for payments, settling orphans, auditing, tidying. */
export function startJobs(deps: JobDeps): { stop(): Promise<void> }[] {
  const { config, log, connectionString, pool, gateway, holds, funding, withdrawing, wallet, exchangeRate } = deps;
  const leaseSeconds = config.HOLD_LEASE_SECONDS;
  const sweep = async () => void (await sweepHolds({ pool, holds, log, leaseSeconds }));
  const usageHours = new UsageHours(pool);
  return [
    every(NETWORK_MS, 'network', () => watchNetwork({ pool, wallet, gateway: gateway.requests, log }), log),
    reconcileInvoices({ funding, wallet, connectionString, log }),
    reconcileWithdrawals({ withdrawing, connectionString, log }),
    every(Math.min(SWEEP_MS, leaseSeconds * 1000), 'sweep holds', sweep, log),
    every(REFUND_MS, 'refund undelivered answers', () => refundUndelivered({ pool, log }), log),
    every(AUTOPAY_MS, 'autopay', () => deps.autopay.run(), log),
    every(RATE_MS, 'BTC/USD rate', (signal) => exchangeRate.refresh(signal), log),
    shareHealth({ pool, health: deps.health, log }),
    every(USAGE_MS, 'usage by hour', (signal) => usageHours.catchUp(signal), log),
    every(LEDGER_DAYS_MS, 'sums of the ledger by day', async () => void (await rollLedgerDays(pool)), log),
    every(HOUR_MS, 'forget answers', () => forgetAnswers(pool), log),
    every(HOUR_MS, 'forget sessions', () => new Sessions(pool).forget(), log),
    every(HOUR_MS, 'forget sessions of operators', () => new OperatorSessions(pool, config.ADMIN_TOKEN).forget(), log),
    every(HOUR_MS, "forget wallets' sign-ins", () => forgetWalletSignIns(pool), log),
    ...deps.oldWallets.map(({ nodeId }) => followOldNode({ funding, withdrawing, nodeId, connectionString, log })),
    deps.openElsewhere.start(ELSEWHERE_MS),
    every(HOUR_MS, 'older secrets', () => watchOlderSecrets(pool, config.secretKeys, log), log),
    nodeAuditJob({ pool, wallet, log, connectionString, intervalMs: HOUR_MS }),
    auditJob({
      pool,
      log,
      connectionString,
      intervalMs: HOUR_MS,
      oldestHoldSeconds: config.STREAM_MAX_SECONDS + 2 * leaseSeconds,
      freeRequests: config.FREE_TIER_REQUESTS,
    }),
  ];
}

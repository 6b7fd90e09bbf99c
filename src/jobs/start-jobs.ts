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
import { watchLevels } from './watch-levels.ts';
import { watchNetwork } from './watch-network.ts';
import { watchOlderSecrets } from './watch-older-secrets.ts';
import { OperatorSessions } from '../operator/operator-sessions.ts';
import { rollLedgerDays } from '../ledger/ledger-days.ts';
import type { Holds } from '../ledger/holds.ts';
import { UsageHours } from '../ledger/usage-hours.ts';
import { forgetWithdrawCodes } from '../lnurl/withdraw-codes.ts';
import type { Wallet } from '../lightning/wallet.ts';
import type { Logger } from '../log.ts';
import type { Observe } from '../observation.ts';
import type { ExchangeRate } from '../pricing/exchange-rate.ts';
import type { FleetHealth } from '../routing/fleet-health.ts';
import type { Withdrawing } from '../withdrawing.ts';

export interface JobDeps {
  config: Config;
  log: Logger;
  observe: Observe;
  connectionString: string;
  pool: Pool;
  /** For what may take a while. */
  reportPool: Pool;
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
const LEVELS_MS = 15_000;
const ELSEWHERE_MS = 60_000;
/** What was charged since then, a report takes from the holds themselves. */
const USAGE_MS = 10_000;
const LEDGER_DAYS_MS = 60_000;
const HOUR_MS = 3_600_000;

/** Starts what goes on in the background: watching for payments, settling orphans, auditing, tidying. */
export function startJobs(deps: JobDeps): { stop(): Promise<void> }[] {
  const { config, log, observe, connectionString, pool, gateway, holds, funding, withdrawing, wallet, exchangeRate } = deps;
  const leaseSeconds = config.HOLD_LEASE_SECONDS;
  const sweep = async () => void (await sweepHolds({ pool, holds, observe, leaseSeconds }));
  const usageHours = new UsageHours(pool);
  return [
    every(NETWORK_MS, 'network', () => watchNetwork({ pool, wallet, gateway: gateway.requests, observe }), observe),
    reconcileInvoices({ funding, wallet, connectionString, log, observe }),
    reconcileWithdrawals({ withdrawing, connectionString, log }),
    every(Math.min(SWEEP_MS, leaseSeconds * 1000), 'sweep holds', sweep, observe),
    every(REFUND_MS, 'refund undelivered answers', () => refundUndelivered({ pool, observe }), observe),
    every(AUTOPAY_MS, 'autopay', () => deps.autopay.run(), observe),
    every(RATE_MS, 'BTC/USD rate', (signal) => exchangeRate.refresh(signal), observe),
    shareHealth({ pool, health: deps.health, observe }),
    every(USAGE_MS, 'usage by hour', (signal) => usageHours.catchUp(signal), observe),
    every(LEDGER_DAYS_MS, 'sums of the ledger by day', async () => void (await rollLedgerDays(pool)), observe),
    every(HOUR_MS, 'forget answers', () => forgetAnswers(pool), observe),
    every(HOUR_MS, 'forget sessions', () => new Sessions(pool).forget(), observe),
    every(HOUR_MS, 'forget sessions of operators', () => new OperatorSessions(pool, config.ADMIN_TOKEN).forget(), observe),
    every(HOUR_MS, "forget wallets' sign-ins", () => forgetWalletSignIns(pool), observe),
    every(HOUR_MS, 'forget codes to withdraw by', () => forgetWithdrawCodes(pool), observe),
    ...deps.oldWallets.map(({ nodeId }) => followOldNode({ funding, withdrawing, nodeId, connectionString, log })),
    deps.openElsewhere.start(ELSEWHERE_MS),
    every(HOUR_MS, 'older secrets', () => watchOlderSecrets(pool, config.secretKeys, observe), observe),
    nodeAuditJob({ pool, wallet, log, observe, connectionString, intervalMs: HOUR_MS }),
    ...levelJobs(deps),
    auditJob({
      pool,
      log,
      observe,
      connectionString,
      intervalMs: HOUR_MS,
      oldestHoldSeconds: config.STREAM_MAX_SECONDS + 2 * leaseSeconds,
      freeRequests: config.FREE_TIER_REQUESTS,
    }),
  ];
}

/** What only metrics tell: nobody looks where nobody may read them. */
function levelJobs({ config, log, observe, connectionString, reportPool: pool, wallet }: JobDeps): { stop(): Promise<void> }[] {
  if (config.ADMIN_TOKEN.length === 0) return [];
  const state = async () => observe({ kind: 'lightning_state', isUp: (await wallet.status()).ready });
  return [
    watchLevels({ pool, wallet, config, connectionString, log, observe, intervalMs: LEVELS_MS }),
    every(LEVELS_MS, 'state of the node', state, observe),
  ];
}

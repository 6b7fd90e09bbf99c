import type { RequestHandler } from 'express';
import { readAccount } from '../../accounts/account.ts';
import type { Config } from '../../config/config.ts';
import { btcUsdFromExchangeRate, msat, satsFromMsat, usdNumber, type Msat } from '../../amount.ts';
import { readBudgetDay, readMeanCharge } from '../../ledger/balance.ts';
import { readStatement } from '../../ledger/statement.ts';
import { decodeCursor, encodeCursor } from './cursor.ts';
import { readQuery, transactionsQuery } from './report-queries.ts';
import { reportScope, type ReportScope } from './report-scope.ts';
import { written, type ReportRoutesDeps } from './reports.ts';

export interface WalletReportDeps extends ReportRoutesDeps {
  config: Pick<Config, 'FREE_TIER_REQUESTS'>;
  /** What 1,000 tokens of the cheapest model cost, for accounts that were never charged; null where that is unknown. */
  thousandTokensMsat: () => Msat | null;
}

const TRANSFER_ID = /^\d{1,18}$/;

/** The handlers of the reports on an account's wallet: balance and statement. */
export function walletReportHandlers(deps: WalletReportDeps): Record<'balance' | 'transactions', RequestHandler> {
  const { pool, apiKeys, recorder } = deps;
  return {
    async balance(req, res) {
      res.json(await balanceView(deps, await reportScope(req, res, apiKeys)));
    },

    async transactions(req, res) {
      const { limit, cursor: position, keyId: _keyId, ...filters } = readQuery(transactionsQuery, req.query);
      const cursor = decodeCursor(position, [TRANSFER_ID]);
      const { accountId, keyId } = await reportScope(req, res, apiKeys);
      await written(recorder);
      const lines = await readStatement(pool, {
        ...filters,
        accountId,
        keyId,
        before: cursor ? BigInt(cursor[0] ?? 0) : null,
        limit: limit + 1,
      });
      const page = lines.slice(0, limit);
      const last = lines.length > limit ? page.at(-1) : undefined;
      res.json({
        transactions: page.map((line) => ({
          id: String(line.id),
          kind: line.kind,
          amountMsat: Number(line.amountMsat),
          balanceAfterMsat: Number(line.balanceAfterMsat),
          createdAt: line.createdAt.toISOString(),
          ...(line.invoiceId !== null && { invoiceId: line.invoiceId }),
          ...(line.requestId !== null && { requestId: line.requestId }),
          ...(line.model !== null && { model: line.model }),
          ...(line.keyId !== null && { keyId: line.keyId }),
          ...(line.picoUsdPerMsat !== null && { btcUsd: btcUsdFromExchangeRate(line.picoUsdPerMsat) }),
          ...(line.via !== null && { via: line.via }),
          ...(line.note !== null && { note: line.note }),
          ...(line.feeMsat !== null && { feeMsat: Number(line.feeMsat) }),
        })),
        nextCursor: last ? encodeCursor([String(last.id)]) : null,
      });
    },
  };
}

/** What an account has, and what is left of one key's budget. */
export async function balanceView(
  { pool, config, thousandTokensMsat }: Pick<WalletReportDeps, 'pool' | 'config' | 'thousandTokensMsat'>,
  { accountId, key }: Pick<ReportScope, 'accountId' | 'key'>,
) {
  // One after the other: a report takes one connection.
  const account = await readAccount(pool, accountId, config.FREE_TIER_REQUESTS);
  const budget = await readBudgetDay(pool, key.id);
  const meanChargeMsat = await readMeanCharge(pool, accountId);
  const availableMsat = msat(account.postedMsat - account.heldMsat);
  return {
    balance: satsFromMsat(availableMsat),
    unit: 'sats',
    rail: 'lightning',
    estimatedRequests: requestsFor(availableMsat, meanChargeMsat ?? thousandTokensMsat()),
    balanceMsat: Number(account.postedMsat),
    reservedMsat: Number(account.heldMsat),
    availableMsat: Number(availableMsat),
    freeRequestsRemaining: account.freeRequestsRemaining,
    freeRequestsLimit: account.freeRequestsLimit,
    dailyBudgetUsd: usdNumber(key.dailyBudgetPicoUsd),
    dailySpendUsd: usdNumber(budget.usedPicoUsd),
    budgetResetsAt: budget.resetsAt.toISOString(),
  };
}

/** How many requests of a mean price the balance pays for; null where no price is known. */
function requestsFor(availableMsat: Msat, eachMsat: Msat | null): number | null {
  return eachMsat === null || eachMsat <= 0n ? null : Number(availableMsat / eachMsat);
}

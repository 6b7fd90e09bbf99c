import type { Config } from '../../config/config.ts';
import type { Funding } from '../../funding.ts';
import type { Gateway } from '../../gateway.ts';
import type { PricingDeps } from '../api/pricing.ts';
import type { WalletReportDeps } from '../api/wallet-reports.ts';
import type { Turns } from '../payment/turns.ts';
import type { Pool } from '../../db/postgres.ts';
import { createInvoice } from './create-invoice.ts';
import { estimateCost } from './estimate-cost.ts';
import { getBalance } from './get-balance.ts';
import { invoiceStatus } from './invoice-status.ts';
import { listModels } from './list-models.ts';
import type { Tool } from './tool.ts';
import { usageReport } from './usage-report.ts';

/** What the tools ask: the same as the JSON paths that tell the same. */
export interface ToolDeps extends Pick<PricingDeps, 'models' | 'exchangeRate'>, Omit<WalletReportDeps, 'config'> {
  reportPool: Pool;
  turns: Turns;
  funding: Funding;
  gateway: Pick<Gateway, 'estimate'>;
  config: Pick<Config, 'FREE_TIER_REQUESTS' | 'PUBLIC_URL' | 'markupBasisPoints'>;
}

/** All tools, in the order in which they are listed. None of them spends or withdraws. */
export const TOOLS: readonly Tool[] = [getBalance, createInvoice, invoiceStatus, listModels, estimateCost, usageReport];

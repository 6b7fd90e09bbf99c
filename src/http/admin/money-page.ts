import type { RequestHandler } from 'express';
import { picoUsdFromMsat, satsFromMsat, usdNumber, type Msat, type PicoUsd, type PicoUsdPerMsat } from '../../amount.ts';
import type { Config } from '../../config/config.ts';
import type { Pool } from '../../db/postgres.ts';
import { lastAudit, type LastAudit } from '../../ledger/audit-history.ts';
import { largestAccounts } from '../../operator/accounts.ts';
import { readMoney, type Money, type PeriodMoney } from '../../operator/money.ts';
import type { NodeMeans, NodeMeansReport } from '../../operator/node-means.ts';
import type { ExchangeRate } from '../../pricing/exchange-rate.ts';
import { pairedBars } from '../pages/charts.ts';
import { count, percent, satsExact, satsMoved, span, UNKNOWN, usd } from '../pages/format.ts';
import type { Banner, Pages } from '../pages/pages.ts';
import { accountsTable } from './account-pages.ts';
import { sendAdmin } from './admin-frame.ts';
import type { Table } from './table.ts';

export interface MoneyPageDeps {
  pool: Pool;
  reportPool: Pool;
  pages: Pages;
  means: NodeMeans;
  exchangeRate: Pick<ExchangeRate, 'current'>;
  config: Pick<Config, 'markupBasisPoints' | 'FREE_TIER_GLOBAL_DAILY_USD' | 'WITHDRAWALS'>;
}

const LARGEST = 5;
const ENOUGH = 1.1;

/** The operator's first page: can we pay what we owe, and does the ledger add up to that. */
export function moneyPage({ reportPool, pages, means, exchangeRate, config }: MoneyPageDeps): RequestHandler {
  return async (_req, res) => {
    const [money, node, largest, audit] = await Promise.all([
      readMoney(reportPool, { markupBasisPoints: config.markupBasisPoints }),
      means.read(),
      largestAccounts(reportPool, LARGEST),
      lastAudit(reportPool),
    ]);
    const coverage = coverageOf(money, node);
    const data = {
      money,
      node,
      coverage,
      percent: coverage === null ? UNKNOWN : percent(coverage),
      age: node.at && node.problem !== null ? span(money.at.getTime() - node.at.getTime()) : null,
      owedUsd: usdOf(money.owedMsat, exchangeRate),
      equation: equationOf(money),
      audit: auditWords(audit, money.at),
      table: periodsTable(money, config.FREE_TIER_GLOBAL_DAILY_USD),
      chart: chartOf(money),
      largest: { ...accountsTable(largest), caption: 'The largest balances', heading: true, empty: 'Nobody has a balance.' },
    };
    const banners = bannersOf(money, node, coverage, config.WITHDRAWALS, audit);
    sendAdmin(pages, res, 'money', { title: 'Money', section: '/admin', banners }, data);
  };
}

/** What the node could pay, as a part of what is owed; null where it is not known, or nothing is owed. */
function coverageOf({ owedMsat }: Money, { means }: NodeMeansReport): number | null {
  return means === null || owedMsat === 0n ? null : Number(means.spendableMsat) / Number(owedMsat);
}

function bannersOf(
  money: Money,
  { problem }: NodeMeansReport,
  coverage: number | null,
  withdrawals: boolean,
  audit: LastAudit | null,
): Banner[] {
  const banners: Banner[] = [];
  if (!money.addsUp) {
    banners.push({
      kind: 'bad',
      text: `The ledger does not add up: it comes to ${satsExact(money.sumMsat)} sats, and ${satsExact(money.owedMsat)} are owed.`,
      links: [{ href: '/admin/audit', name: 'Audit' }],
    });
  }
  if (audit && !audit.sound)
    banners.push({ kind: 'bad', text: 'The last audit found violations.', links: [{ href: '/admin/audit', name: 'Audit' }] });
  if (coverage !== null && coverage < ENOUGH) {
    banners.push({ kind: coverage < 1 ? 'bad' : 'warn', text: coverageWords(coverage, withdrawals) });
  }
  if (problem !== null) banners.push({ kind: 'warn', text: problem });
  return banners;
}

function coverageWords(coverage: number, withdrawals: boolean): string {
  const found = `The node can pay ${percent(coverage)} of what is owed`;
  if (!withdrawals) return `${found}. Withdrawals are off, so nobody is paid out now.`;
  return coverage < 1 ? `${found}. Withdrawals can fail.` : `${found}, which leaves little for fees.`;
}

/** In words first: in − spent − out ± adjusted = owed. */
function equationOf({ total, owedMsat }: Money): string {
  const spent = (-total.charge - total.refund) as Msat;
  const parts = [
    `${satsExact(total.deposit)} in`,
    `− ${satsExact(spent)} spent`,
    `− ${satsExact(-total.withdrawal as Msat)} paid out`,
    `${total.adjustment < 0n ? '−' : '+'} ${satsExact(size(total.adjustment))} adjusted`,
  ];
  return `${parts.join(' ')} = ${satsExact(owedMsat)} owed`;
}

function size(amount: Msat): Msat {
  return amount < 0n ? (-amount as Msat) : amount;
}

function auditWords(audit: LastAudit | null, now: Date): string {
  if (!audit) return 'No audit has run yet.';
  return `Audit ${audit.sound ? 'sound' : 'not sound'}, ${span(now.getTime() - audit.at.getTime())} ago.`;
}

function periodsTable({ periods, freeToday }: Money, ceiling: PicoUsd): Table {
  const row = (name: string, cell: (period: PeriodMoney) => string) => ({
    cells: [{ text: name }, ...periods.map((period) => ({ text: cell(period) }))],
  });
  return {
    id: 'periods',
    caption: `Sats, and USD where so marked; days are UTC days. Free requests took ${usd(freeToday.spentPicoUsd)} of today's ${usd(ceiling)}.`,
    columns: [{ name: 'Figure' }, ...periods.map(({ name }) => ({ name, n: true }))],
    rows: [
      row('Deposits', ({ depositsMsat }) => satsExact(depositsMsat)),
      row('Charges', ({ chargesMsat }) => satsExact(chargesMsat)),
      row('Paid out', ({ withdrawnMsat }) => satsExact(withdrawnMsat)),
      row('Given back', ({ refundsMsat }) => satsExact(refundsMsat)),
      row('Adjusted', ({ adjustmentsMsat }) => satsMoved(adjustmentsMsat)),
      row('Provider cost', ({ providerCostPicoUsd }) => usd(providerCostPicoUsd)),
      row('Given free', ({ freePicoUsd }) => usd(freePicoUsd)),
      row('Margin', ({ marginPicoUsd }) => usd(marginPicoUsd)),
    ],
    empty: '',
  };
}

function chartOf({ days }: Money): string {
  return pairedBars({
    id: 'by-day',
    title: 'Deposits and charges by day',
    bucket: 'Day',
    buckets: days.map(({ day }) => day),
    series: [
      { name: 'Deposits', values: days.map(({ depositsMsat }) => satsFromMsat(depositsMsat)) },
      { name: 'Charges', values: days.map(({ chargesMsat }) => Math.max(0, satsFromMsat(chargesMsat))) },
    ],
    format: (sats) => `${count(sats)} sats`,
  });
}

/** Null where there is no rate of now. */
function usdOf(amount: Msat, exchangeRate: Pick<ExchangeRate, 'current'>): string | null {
  let rate: PicoUsdPerMsat;
  try {
    rate = exchangeRate.current();
  } catch {
    return null;
  }
  return usd(usdNumber(picoUsdFromMsat(amount, rate)));
}

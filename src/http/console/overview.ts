import type { RequestHandler } from 'express';
import { isFunded } from '../../accounts/account.ts';
import type { LinkedWallets } from '../../accounts/linked-wallets.ts';
import type { Session } from '../../accounts/sessions.ts';
import { msat, picoUsd, picoUsdFromMsat, type Msat, type PicoUsd, type PicoUsdPerMsat } from '../../amount.ts';
import type { Autopay } from '../../autopay/autopay.ts';
import type { AutopayState } from '../../autopay/autopay-settings.ts';
import type { Pool } from '../../db/postgres.ts';
import { readBudgetDay, type BudgetDay } from '../../ledger/balance.ts';
import { readRunway, type Runway } from '../../ledger/runway.ts';
import { readSpend, type PeriodSpend, type Spend } from '../../ledger/spend.ts';
import type { ExchangeRate } from '../../pricing/exchange-rate.ts';
import { readRequests } from '../../records/recorded-requests.ts';
import { PERIODS, type Period } from '../api/report-queries.ts';
import { HOURS, written } from '../api/reports.ts';
import { OTHER, stackedBars, type Chart } from '../pages/charts.ts';
import { satsExact, span, usd, utc } from '../pages/format.ts';
import type { Turns } from '../payment/turns.ts';
import { originOf } from '../server/origin.ts';
import type { ConsoleFrame } from './console-frame.ts';
import { bannersOf } from './overview-banners.ts';
import { isOwner, sessionOf } from './signed-in.ts';
import { snippets } from './snippets.ts';
import { OUTCOME_WORDS } from './usage.ts';
import { waysOutBanner } from './ways-out-banner.ts';

export interface OverviewDeps {
  pool: Pool;
  reportPool: Pool;
  turns: Turns;
  recorder: { flush(): Promise<void> };
  frame: ConsoleFrame;
  exchangeRate: ExchangeRate;
  linkedWallets: Pick<LinkedWallets, 'list'>;
  autopay: Pick<Autopay, 'autopayState'>;
  config: { PUBLIC_URL?: string | undefined; FREE_TIER_REQUESTS: number };
}

const LATEST = 5;
const MOST_MODELS = 5;
const LONGEST_DAYS = 90;
const DAY_MS = 86_400_000;

/** What can be spent now, and what decides that. */
interface Spendable {
  readonly amountMsat: Msat;
  readonly binds: 'balance' | 'budget' | 'frozen';
  /** At today's rate; null without one. */
  readonly usd: PicoUsd | null;
}

/** GET /console: is all well, what is left, what did it cost. */
export function overviewHandler(deps: OverviewDeps): RequestHandler {
  const { pool, reportPool, turns, recorder, frame, exchangeRate, config } = deps;
  return async (req, res) => {
    const session = sessionOf(res);
    const owner = isOwner(session);
    const period = PERIODS.find((each) => each === req.query['period']) ?? '7d';
    const account = await frame.account(res);
    const availableMsat = msat(account.postedMsat - account.heldMsat);
    const budget = session.how === 'key' ? await readBudgetDay(pool, session.key.id) : null;
    const rate = rateNow(exchangeRate);
    const scope = { accountId: session.accountId, keyId: owner ? null : session.key.id };
    await written(recorder);
    const { spend, runway, latest } = await turns.take(session.accountId, async () => ({
      spend: await readSpend(reportPool, {
        ...scope,
        hours: HOURS[period],
        series: { bucket: period === '24h' ? 'hour' : 'day', by: 'model' },
      }),
      runway: await readRunway(reportPool, session.accountId, availableMsat),
      latest: await readRequests(reportPool, { ...scope, after: null, limit: LATEST }),
    }));
    const isFundedNow = await isFunded(pool, session.accountId);
    const autopay = owner ? await deps.autopay.autopayState(session.accountId) : null;
    const spendable = spendableOf(account.isFrozen ? null : availableMsat, session, budget, rate);
    const data = {
      ...{ period, periods: PERIODS, budget, spendable, spend, latest },
      words: OUTCOME_WORDS,
      days: runway && daysText(runway),
      chart: latest.length === 0 ? null : stackedBars(chartOf(spend, period)),
      models: modelsOf(spend),
      mean: spend.total.requestCount === 0 ? null : msat(spend.total.chargedMsat / BigInt(spend.total.requestCount)),
      steps: latest.length === 0 ? await stepsOf(deps, session, { owner, isFundedNow, autopay }) : null,
      snippet: snippets(originOf(req, config.PUBLIC_URL))[0],
    };
    const facts = { account, availableMsat, session, budget, runway, rate, owner, autopay };
    const banners = [...bannersOf({ ...facts, isFunded: isFundedNow, nowMs: Date.now() }), ...(await waysOutBanner(pool, session))];
    await frame.send(res, 'console/overview', { title: 'Overview', section: '/console', account, banners }, data);
  };
}

/** The least of the balance and of what is left of the key's budget; of a frozen account, which has no balance to spend, nothing. */
function spendableOf(availableMsat: Msat | null, { key }: Session, budget: BudgetDay | null, rate: PicoUsdPerMsat | null): Spendable {
  if (availableMsat === null) return { amountMsat: msat(0n), binds: 'frozen', usd: picoUsd(0n) };
  const left = budget && rate ? key.dailyBudgetPicoUsd - budget.usedPicoUsd : null;
  // Rounded down: what is shown can be spent.
  const leftMsat = left === null || !rate ? null : msat(left > 0n ? left / rate : 0n);
  const binds = leftMsat !== null && leftMsat < availableMsat ? 'budget' : 'balance';
  const amountMsat = binds === 'budget' && leftMsat !== null ? leftMsat : availableMsat;
  return { amountMsat, binds, usd: rate && picoUsdFromMsat(amountMsat, rate) };
}

/** For newcomers: what to do first, ticked off where it is done. */
async function stepsOf(
  { linkedWallets }: OverviewDeps,
  { accountId }: Session,
  { owner, isFundedNow, autopay }: { owner: boolean; isFundedNow: boolean; autopay: AutopayState | null },
) {
  const linked = owner && (await linkedWallets.list(accountId)).length > 0;
  return [
    { name: 'Send a first request', done: false, href: null },
    { name: 'Top up', done: isFundedNow, href: '/console/top-up' },
    ...(owner
      ? [
          { name: 'Link a wallet: a lost key then loses nothing', done: linked, href: '/console/wallets' },
          { name: 'Set up autopay: the balance never runs dry', done: autopay !== null, href: '/console/wallets' },
        ]
      : []),
  ];
}

/** The spend of each bucket by model, for the chart: in sats, or where all of it was free what it was worth. */
export function chartOf({ series, total }: Pick<PeriodSpend, 'series' | 'total'>, period: Period): Chart {
  const names = [...new Set(series.flatMap(({ byName }) => [...byName.keys()]))];
  const isFree = total.chargedMsat === 0n;
  const figure = (spend: Spend | undefined) => Number((isFree ? spend?.costPicoUsd : spend?.chargedMsat) ?? 0n);
  return {
    id: 'spent',
    title: `${isFree ? 'What free requests were worth' : 'Sats spent'} by model, ${period === '24h' ? 'by hour' : 'by day'}, in UTC`,
    bucket: period === '24h' ? 'Hour' : 'Day',
    buckets: series.map(({ start }) => (period === '24h' ? utc(start).slice(11, 16) : utc(start).slice(0, 10))),
    series: names.map((name) => ({ name, values: series.map(({ byName }) => figure(byName.get(name))) })),
    format: (value) => (isFree ? usd(picoUsd(BigInt(value))) : `${satsExact(msat(BigInt(value)))} sats`),
  };
}

/** The dearest models, and all others as one: their sum is the total. */
function modelsOf({ byModel, total }: PeriodSpend): { name: string; requestCount: number; chargedMsat: Msat; costPicoUsd: PicoUsd }[] {
  const ordered = [...byModel].toSorted(([, a], [, b]) => Number(b.chargedMsat - a.chargedMsat) || Number(b.costPicoUsd - a.costPicoUsd));
  const top = ordered.slice(0, MOST_MODELS).map(([name, spend]) => ({ name, ...figuresOf(spend) }));
  if (ordered.length <= MOST_MODELS) return top;
  const sum = top.reduce((all, each) => ({
    name: OTHER,
    requestCount: all.requestCount + each.requestCount,
    chargedMsat: msat(all.chargedMsat + each.chargedMsat),
    costPicoUsd: picoUsd(all.costPicoUsd + each.costPicoUsd),
  }));
  const rest = {
    name: OTHER,
    requestCount: total.requestCount - sum.requestCount,
    chargedMsat: msat(total.chargedMsat - sum.chargedMsat),
    costPicoUsd: picoUsd(total.costPicoUsd - sum.costPicoUsd),
  };
  return [...top, rest];
}

function figuresOf({ requestCount, chargedMsat, costPicoUsd }: Spend) {
  return { requestCount, chargedMsat, costPicoUsd };
}

function daysText({ daysLeft }: Runway): string {
  if (daysLeft > LONGEST_DAYS) return `more than ${LONGEST_DAYS} days`;
  return `about ${span(daysLeft * DAY_MS)}`;
}

/** Null where no rate is young enough. */
export function rateNow(exchangeRate: ExchangeRate): PicoUsdPerMsat | null {
  try {
    return exchangeRate.current();
  } catch {
    return null;
  }
}

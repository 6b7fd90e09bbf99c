import type { Account } from '../../accounts/account.ts';
import type { Session } from '../../accounts/sessions.ts';
import { msat, type Msat, type PicoUsdPerMsat } from '../../amount.ts';
import type { AutopayState } from '../../autopay/autopay-settings.ts';
import type { BudgetDay } from '../../ledger/balance.ts';
import type { Runway } from '../../ledger/runway.ts';
import { count, span, usd } from '../pages/format.ts';
import type { Banner } from '../pages/pages.ts';

const LOW_MSAT = msat(100_000n);
const DAY_MS = 86_400_000;
const TOP_UP = { href: '/console/top-up', name: 'Top up' };
const SET_UP_AUTOPAY = { href: '/console/wallets/autopay', name: 'Set up autopay' };
const CONNECT_WALLET = { href: SET_UP_AUTOPAY.href, name: 'Connect a wallet' };

/** What the overview knows of an account when it decides what has to be said. */
export interface OverviewFacts {
  account: Account;
  availableMsat: Msat;
  session: Session;
  budget: BudgetDay | null;
  runway: Runway | null;
  isFunded: boolean;
  rate: PicoUsdPerMsat | null;
  owner: boolean;
  /** Null also for whom autopay is no business of. */
  autopay: AutopayState | null;
  nowMs: number;
}

/** What has to be said before all else: about the money one sentence, the most pressing one. */
export function bannersOf(facts: OverviewFacts): Banner[] {
  const { account, availableMsat, session, budget, runway, isFunded: funded, rate, owner, autopay, nowMs } = facts;
  const banners: Banner[] = [];
  const free = account.freeRequestsRemaining;
  if (!rate) {
    banners.push({ kind: 'warn', text: 'There is no current exchange rate, so nothing can be priced. Nothing was charged.' });
  }
  if (budget && budget.usedPicoUsd >= session.key.dailyBudgetPicoUsd) {
    const wait = span(budget.resetsAt.getTime() - nowMs);
    const text = `This key has used its ${usd(session.key.dailyBudgetPicoUsd)} for today. It goes on at 00:00 UTC, in ${wait}.`;
    banners.push({ kind: 'warn', text, links: owner ? [{ href: `/console/keys/${session.key.id}`, name: 'Raise the limit' }] : [] });
  }
  if (availableMsat <= 0n && free === 0) {
    const text = 'The free requests are used up and the balance is empty. Requests get 402 until you top up.';
    banners.push({ kind: 'bad', text, links: [TOP_UP] });
  } else if (!funded && free > 0) {
    const text = `${count(free)} free requests left. Top up any time; what you pay stays yours until it is spent.`;
    banners.push({ kind: 'info', text, links: [TOP_UP] });
  } else if (funded && free === 0 && ((runway && runway.daysLeft < 1) || availableMsat < LOW_MSAT)) {
    const text = runway ? `About ${span(runway.daysLeft * DAY_MS)} left at this pace.` : 'Less than 100 sats are left.';
    banners.push({ kind: 'warn', text, links: [TOP_UP, ...(owner && !autopay ? [SET_UP_AUTOPAY] : [])] });
  }
  if (autopay) banners.push(...stoppedAutopay(autopay));
  return banners;
}

/** Why autopay does not go on by itself, as a sentence; null where it does, or its owner has paused it. */
export function whyAutopayStopped({ state, reason, reasonText }: Pick<AutopayState, 'state' | 'reason' | 'reasonText'>): string | null {
  if ((state !== 'paused' && state !== 'stopped') || reason === 'OWNER') return null;
  const isOfFailures = state === 'paused' && reason !== 'NO_OWNER_KEY';
  return `Autopay stopped${isOfFailures ? ' after three failures' : ''}: ${reasonText ?? 'its wallet could not pay'}.`;
}

function stoppedAutopay(autopay: AutopayState): Banner[] {
  const text = whyAutopayStopped(autopay);
  if (text === null) return [];
  const { state, last } = autopay;
  const at = last && { at: { said: 'Last try', time: last.startedAt } };
  const wayOut =
    state === 'paused' ? { acts: [{ href: `${SET_UP_AUTOPAY.href}/resume`, name: 'Try again' }] } : { links: [CONNECT_WALLET] };
  return [{ kind: 'bad', text, ...at, ...wayOut }];
}

import type { DepositVia, Limit, LossReason, Observed } from '../observation.ts';
import type { MetricCells } from './metric-cells.ts';

type Tag = Observed['lnurl_request']['tag'];
type How = Observed['sign_in']['how'];

/** All values, for the compiler asks for each. */
const all = <Value extends string>(values: Record<Value, true>): Value[] => Object.keys(values) as Value[];

const VIAS = all<DepositVia>({ invoice: true, l402: true, address: true, autopay: true, lnurl: true });
const REASONS = all<LossReason>({ free: true, overrun: true, undelivered: true, refund: true, crash: true, fee: true });
const LIMITS = all<Limit>({ rpm: true, tpm: true, streams: true, address: true, sign_in: true });
const ENDS = all<Observed['autopay']['result']>({ paid: true, unpaid: true, not_asked: true });
const TAGS = all<Tag>({ payRequest: true, withdrawRequest: true, login: true });
const ANSWERS = all<Observed['lnurl_request']['result']>({ ok: true, refused: true, failed: true });
const HOWS = all<How>({ key: true, wallet: true, admin: true });
const SIGN_INS = all<Observed['sign_in']['result']>({ ok: true, refused: true });

/**
 * Has counters of known labels told from the start on, with 0. Prometheus sees no increase in the first sample of a series: without these, the
 * first loss, or the first ten guesses at a token, would be none.
 */
export function beginKnownSeries({ numbers }: MetricCells): void {
  for (const via of VIAS) numbers.pura_deposits_msat_total.at(via);
  for (const reason of REASONS) numbers.pura_house_loss_msat_total.at(reason);
  for (const limit of LIMITS) numbers.pura_refusals_total.at(limit);
  for (const end of ENDS) numbers.pura_autopay_attempts_total.at(end);
  for (const tag of TAGS) for (const result of ANSWERS) numbers.pura_lnurl_requests_total.at(tag, result);
  for (const how of HOWS) for (const result of SIGN_INS) numbers.pura_sign_ins_total.at(how, result);
}

import { picoUsd, type PicoUsd } from '../amount.ts';
import type { Config } from '../config/config.ts';
import type { HoldLimits } from '../ledger/hold.ts';
import { ANSWER_BYTES_A_DAY, FREE_ANSWER_BYTES_A_DAY } from '../records/stored-answer.ts';

const FREE_STREAMS_AT_ONCE = 4;
const FREE_REQUESTS_AT_ONCE = 32;
/** Of the day's free ceiling, for one account: a twentieth, but always enough for one request. */
const FREE_SHARE_PERCENT = 5n;

/** What holds may be, by the operator's configuration. */
export function limitsOfHolds(config: Config, instanceId: string): HoldLimits {
  return {
    freeRequests: config.FREE_TIER_REQUESTS,
    freeDayPicoUsd: config.FREE_TIER_GLOBAL_DAILY_USD,
    freeSharePicoUsd: freeShareOf(config),
    freeStreams: FREE_STREAMS_AT_ONCE,
    freeAtOnce: FREE_REQUESTS_AT_ONCE,
    answerBytes: ANSWER_BYTES_A_DAY,
    freeAnswerBytes: FREE_ANSWER_BYTES_A_DAY,
    leaseSeconds: config.HOLD_LEASE_SECONDS,
    instanceId,
  };
}

function freeShareOf({ FREE_TIER_GLOBAL_DAILY_USD: dayPicoUsd, FREE_TIER_MAX_COST_USD: requestPicoUsd }: Config): PicoUsd {
  const share = (dayPicoUsd * FREE_SHARE_PERCENT) / 100n;
  const enough = share > requestPicoUsd ? share : requestPicoUsd;
  return picoUsd(enough < dayPicoUsd ? enough : dayPicoUsd);
}

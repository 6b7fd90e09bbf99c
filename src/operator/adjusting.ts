import { tellWithCommit } from '../accounts/account-changes.ts';
import { keepWayIn } from '../accounts/way-in.ts';
import { msat, type Msat, type PicoUsdPerMsat } from '../amount.ts';
import type { Pool, PoolClient } from '../db/postgres.ts';
import { GatewayError } from '../errors.ts';
import { postAdjustment } from '../ledger/adjustment.ts';
import { performAct, type Act } from './acts.ts';
import { lockExistingAccount, type AccountAct } from './freezing.ts';

export interface Adjustment extends AccountAct {
  /** Above 0 into the wallet, below 0 out of it. */
  readonly changeMsat: Msat;
  /** The wallet's: balances of another network are not added to. */
  readonly network: string;
  /** The exchange rate of now, for the statement. */
  readonly picoUsdPerMsat?: PicoUsdPerMsat | null;
}

const MOST_MSAT = 100_000_000_000n;

/**
 * Adds to an account's balance or takes from it, once an act: the transfer, the balance and the record change in one transaction, under the
 * account's lock. Throws GatewayError `invalid_request` for a change of nothing, for more than a bitcoin, and where less would be left than
 * is reserved; `idempotency_conflict` for an act that changed something else; `last_owner_key` where nobody could ever spend what is added; `not_found`.
 */
export async function adjust(pool: Pool, { accountId, changeMsat, network, picoUsdPerMsat, ...act }: Adjustment): Promise<Act> {
  if (changeMsat === 0n || changeMsat > MOST_MSAT || changeMsat < -MOST_MSAT)
    throw refused('The change is up to 100,000,000 sats, and not nothing.');
  const work = async (client: PoolClient): Promise<Record<string, unknown>> => {
    const { postedMsat, heldMsat } = await lockExistingAccount(client, accountId);
    if (postedMsat + changeMsat < heldMsat) throw refused(belowHeld(postedMsat, heldMsat));
    const posting = { accountId, adjustmentId: act.id, changeMsat, note: act.reason, network, picoUsdPerMsat };
    const { transferId, balanceMsat } = await postAdjustment(client, posting);
    if (changeMsat > 0n) await keepWayIn(client, accountId, 'The account has no owner key: nobody could spend what is added.');
    await tellWithCommit(client, accountId);
    return {
      beforeMsat: String(postedMsat),
      afterMsat: String(balanceMsat),
      transferId: String(transferId),
    };
  };
  const asked = { changeMsat: String(changeMsat) };
  return (await performAct(pool, { ...act, act: 'adjust', subject: { kind: 'account', id: accountId }, asked }, work)).act;
}

function belowHeld(postedMsat: bigint, heldMsat: bigint): string {
  const most = msat(postedMsat - heldMsat);
  return `Requests and withdrawals under way have reserved the rest: at most ${most} msat can be taken now.`;
}

function refused(message: string): GatewayError {
  return new GatewayError('invalid_request', { message, param: 'change' });
}

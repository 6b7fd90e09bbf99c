import type { Request } from 'express';
import { msat, type Msat, type PicoUsdPerMsat } from '../../amount.ts';
import type { Config } from '../../config/config.ts';
import type { Pool } from '../../db/postgres.ts';
import { GatewayError } from '../../errors.ts';
import { OtherNetwork } from '../../ledger/network.ts';
import type { Wallet } from '../../lightning/wallet.ts';
import type { Observe } from '../../observation.ts';
import { readAccountView, type AccountView } from '../../operator/accounts.ts';
import { adjust } from '../../operator/adjusting.ts';
import type { Act } from '../../operator/acts.ts';
import { freeze, revokeKeys, unfreeze, type AccountAct } from '../../operator/freezing.ts';
import type { ExchangeRate } from '../../pricing/exchange-rate.ts';
import { count, satsExact, satsMoved } from '../pages/format.ts';
import type { ActDescription, ActForm } from './act-form.ts';

export interface AccountActDeps {
  pool: Pool;
  wallet: Pick<Wallet, 'network'>;
  exchangeRate: Pick<ExchangeRate, 'current'>;
  config: Pick<Config, 'FREE_TIER_REQUESTS'>;
  observe: Observe;
}

const SECTION = '/admin/accounts';
/** Sats, with a sign and up to three places: a msat is the smallest there is. */
const SATS = /^([+−-]?)(\d{1,9})(?:\.(\d{1,3}))?$/;

/** What operators do to an account. */
export function accountActs(deps: AccountActDeps): Record<'freeze' | 'unfreeze' | 'adjust' | 'revokeKeys', ActForm> {
  const { pool, config } = deps;
  const accountOf = (req: Request) => readAccountView(pool, String(req.params['id']), config.FREE_TIER_REQUESTS);
  const act = (words: Words, perform: (pool: Pool, act: AccountAct) => Promise<Act>): ActForm => ({
    section: SECTION,
    describe: async (req) => describing(words, await accountOf(req)),
    perform: async (req, asked) => perform(pool, { ...asked, accountId: (await accountOf(req)).id }),
  });
  return {
    freeze: act(FREEZE, freeze),
    unfreeze: act(UNFREEZE, unfreeze),
    revokeKeys: act(REVOKE, revokeKeys),
    adjust: adjusting(deps, accountOf),
  };
}

type Words = Omit<ActDescription, 'facts' | 'back'>;

const FREEZE: Words = {
  title: 'Freeze this account',
  consequence:
    'Its requests, keys, invoices and withdrawals are refused at once, with a sentence and the contact. Its balance is kept and what was paid is still credited. Requests under way come to their end.',
  verb: 'Freeze',
  danger: true,
};
const UNFREEZE: Words = { title: 'Let this account go on', consequence: 'Its keys work again as they did before.', verb: 'Unfreeze' };
const REVOKE: Words = {
  title: 'Revoke all keys of this account',
  consequence:
    'Every key stops at once and for good. Who linked a wallet can sign in with it and make a new one; without one, nobody gets at the balance any more but you.',
  verb: 'Revoke all keys',
  danger: true,
};
const ADJUST: Words = {
  title: 'Adjust the balance',
  consequence: 'Adds to what is owed to the account, or takes from it. Nothing moves at the node.',
  verb: 'Adjust',
  danger: true,
};

function describing(words: Words, account: AccountView): ActDescription {
  return { ...words, facts: factsOf(account), back: `/admin/accounts/${account.id}` };
}

/** Shows what comes of it before it is done. */
function adjusting({ pool, wallet, exchangeRate, observe }: AccountActDeps, accountOf: (req: Request) => Promise<AccountView>): ActForm {
  const otherNetwork = new OtherNetwork(observe);
  const hint = 'As +250 or -1000.5. The reason stands in the statement of the account, too.';
  return {
    section: SECTION,
    fields: [{ name: 'change', label: 'Change of the balance, in sats', hint }],
    describe: async (req) => describing(ADJUST, await accountOf(req)),
    async preview(req, { change = '' }) {
      const changeMsat = changeOf(change);
      const { postedMsat, heldMsat } = await accountOf(req);
      const after = msat(postedMsat + changeMsat);
      if (after < heldMsat) throw wrongChange(`That is more than can be taken now: ${satsExact(msat(postedMsat - heldMsat))} sats.`);
      return [
        ['Change', `${satsMoved(changeMsat)} sats`],
        ['Balance afterwards', `${satsExact(after)} sats`],
      ];
    },
    perform: async (req, act, { change = '' }) => {
      const { id: accountId } = await accountOf(req);
      const adjustment = {
        ...act,
        accountId,
        changeMsat: changeOf(change),
        network: wallet.network,
        picoUsdPerMsat: rateNow(exchangeRate),
      };
      return otherNetwork.refuse(() => adjust(pool, adjustment));
    },
  };
}

function factsOf({ id, postedMsat, heldMsat, keys, linkedWallets, frozenAt }: AccountView): ActDescription['facts'] {
  return [
    ['Account', id],
    ['Balance now', `${satsExact(postedMsat)} sats`],
    ['Reserved of it', `${satsExact(heldMsat)} sats`],
    ['Live keys', count(keys)],
    ['Linked wallets', count(linkedWallets)],
    ['State', frozenAt ? 'frozen' : 'not frozen'],
  ];
}

/** Throws GatewayError `invalid_request` for what is no amount. */
function changeOf(text: string): Msat {
  const [, sign, whole = '', part = ''] = SATS.exec(text.replaceAll(/[,\s]/g, '')) ?? [];
  if (sign === undefined) throw wrongChange('Write the change in sats, as +250 or -1000.5.');
  const amount = BigInt(whole) * 1000n + BigInt(part.padEnd(3, '0'));
  return msat(sign === '-' || sign === '−' ? -amount : amount);
}

function wrongChange(message: string): GatewayError {
  return new GatewayError('invalid_request', { message, param: 'change' });
}

/** Null where there is no rate of now: an adjustment is in sats, and needs none. */
function rateNow(exchangeRate: Pick<ExchangeRate, 'current'>): PicoUsdPerMsat | null {
  try {
    return exchangeRate.current();
  } catch {
    return null;
  }
}

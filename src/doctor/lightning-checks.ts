import { X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import type { Config } from '../config/config.ts';
import { GatewayError } from '../errors.ts';
import { depositNetwork } from '../ledger/write-off.ts';
import { CHANNEL_BALANCE } from '../lightning/lnd/lnd-books.ts';
import { permits, macaroonPowers } from '../lightning/lnd/lnd-macaroon.ts';
import { reasonOf } from '../lightning/lnd/lnd-failure.ts';
import { INVOICE_LIST, PAYMENT_LIST } from '../lightning/lnd/lnd-books.ts';
import { failed } from './configuration-checks.ts';
import { note, ok, problem, unknown, warning, type Check, type Finding } from './finding.ts';
import type { ReachedDatabase } from './reach-database.ts';
import type { LndProbe } from '../lightning/lnd/lnd-probe.ts';
import type { World } from './world.ts';

const DAY_MS = 86_400_000;
const SOON_DAYS = 30;
/** The largest top-up: with less room on the far side, not every payment arrives. */
const ROOM_SATS = 1_000_000;

/** The wallet: whether it answers, what its credentials permit, and whether money can come in. */
export function lightningChecks(config: Config, database: ReachedDatabase, world: World): Check[] {
  switch (config.LIGHTNING_BACKEND) {
    case 'simulated':
      return [{ name: 'wallet', look: () => lookAtPlayMoney(config) }];
    case 'nwc':
      return [{ name: 'wallet', look: () => lookAtNwc(config, database, world) }];
    case 'lnd': {
      // Asked once, for both.
      const asked = probe(config, world);
      return [
        { name: 'LND_MACAROON', look: () => lookAtMacaroon(config) },
        { name: 'LND_CERT', look: () => lookAtCertificate(config, world) },
        { name: 'LND', look: () => lookAtLnd(asked, database) },
        { name: 'incoming liquidity', look: () => lookAtLiquidity(asked) },
      ];
    }
  }
}

function lookAtPlayMoney({ NODE_ENV, ALLOW_SIMULATED }: Config): Finding[] {
  const found = 'simulated: invoices are real, the money is not';
  const advice = 'Set LND_SOCKET or NWC_URL to take real payments (docs/lightning.md).';
  return [
    NODE_ENV === 'production' || ALLOW_SIMULATED
      ? warning(`${found}, and ALLOW_SIMULATED or production says others may use it`, advice)
      : note(found, advice),
  ];
}

type Probed = { state: LndProbe } | { error: unknown };

async function probe(
  { LND_SOCKET: socket = '', LND_MACAROON: macaroon = Buffer.alloc(0), LND_CERT: cert }: Config,
  world: World,
): Promise<Probed> {
  try {
    return { state: await world.lnd({ socket, macaroon, cert }) };
  } catch (error) {
    return { error };
  }
}

/** Read from the macaroon itself: LND is not asked. */
async function lookAtMacaroon({ LND_MACAROON: macaroon, WITHDRAWALS }: Config): Promise<Finding[]> {
  const { PAYING_CALLS } = await import('../lightning/lnd/lnd-payments.ts');
  const powers = macaroon && macaroonPowers(macaroon, WITHDRAWALS ? PAYING_CALLS : undefined);
  if (!macaroon || !powers) return [problem('not a macaroon as LND makes them', 'Bake one: docs/lightning.md has the command.')];
  const found: Finding[] = [];
  if (powers.missing.length > 0)
    found.push(problem(`lacks ${powers.missing.join(' ')}`, `Bake it anew with these too (docs/lightning.md).`));
  if (powers.excess.length > 0) {
    found.push(
      warning(`permits more than the gateway needs: ${powers.excess.join(' ')}`, 'Bake one without: who steals it can do all of this.'),
    );
  }
  const lists = WITHDRAWALS ? [INVOICE_LIST, PAYMENT_LIST] : [INVOICE_LIST];
  const unread = lists.filter((call) => !permits(macaroon, call));
  if (unread.length > 0)
    found.push(warning(`does not permit to read the node's books: ${unread.join(' ')}`, 'Add it: what a restore has lost is found by it.'));
  if (!permits(macaroon, CHANNEL_BALANCE))
    found.push(note(`without ${CHANNEL_BALANCE} nobody sees what the node can receive and pay`, 'Add it.'));
  return found.length > 0 ? found : [ok('permits what the gateway needs, and no more')];
}

function lookAtCertificate({ LND_CERT: cert, LND_SOCKET = '' }: Config, world: World): Finding[] {
  if (!cert) return [ok('none: one of a public authority is expected')];
  let read: X509Certificate;
  try {
    read = new X509Certificate(cert);
  } catch (error) {
    return [failed('not a certificate', error, "Give LND's tls.cert as it is in LND_CERT_FILE.")];
  }
  const days = Math.floor((Date.parse(read.validTo) - world.now()) / DAY_MS);
  const renew =
    "Delete tls.cert and tls.key in LND's directory, restart LND (or set tlsautorefresh), and give the gateway the new tls.cert.";
  const host = LND_SOCKET.replace(/:\d+$/, '').replace(/[[\]]/g, '');
  const found: Finding[] = [];
  if (days < 0) found.push(problem(`expired ${-days} days ago`, renew));
  else if (days < SOON_DAYS) found.push(warning(`expires in ${days} days, and with it the connection`, renew));
  if ((isIP(host) ? read.checkIP(host) : read.checkHost(host)) === undefined) {
    found.push(
      warning(
        `does not name ${host}, where the gateway connects to`,
        'Set tlsextraip or tlsextradomain in lnd.conf and have tls.cert made anew.',
      ),
    );
  }
  return found.length > 0 ? found : [ok(`good for ${days} more days`)];
}

async function lookAtLnd(asked: Promise<Probed>, database: ReachedDatabase): Promise<Finding[]> {
  const probed = await asked;
  if ('error' in probed) {
    const { error } = probed;
    const cause = error instanceof GatewayError && error.cause instanceof Error ? ` (${error.cause.message})` : '';
    return [
      problem(`${reasonOf(error)}${cause}`, 'See LND_SOCKET, LND_MACAROON and LND_CERT, and the table of failures in docs/lightning.md.'),
    ];
  }
  const { nodeId, network, version, syncedToChain, activeChannels } = probed.state;
  if (!network) return [problem('is on a chain that is not Bitcoin’s', 'Let LND_SOCKET lead to a node on a network of Bitcoin.')];
  const found: Finding[] = [ok(`${version.split(' ')[0]} on ${network}, ${nodeId.slice(0, 10)}…`)];
  if (!syncedToChain) found.push(problem('is not synced to the chain', 'Wait until it is: lncli getinfo says synced_to_chain.'));
  if (activeChannels === 0)
    found.push(problem('has no active channel, so nobody can pay', 'Open or buy a channel (docs/lightning.md, Liquidity).'));
  return [...found, ...(await otherNetwork(network, database))];
}

/** Deposits of one network never mix with another's. */
async function otherNetwork(network: string, { pool }: ReachedDatabase): Promise<Finding[]> {
  const known = pool ? await depositNetwork(pool).catch(() => null) : null;
  if (known === null || known === network) return [];
  return [
    problem(
      `the balances in the database came from ${known}, and the wallet is on ${network}`,
      'Use another database, or npm run write-off.',
    ),
  ];
}

async function lookAtLiquidity(asked: Promise<Probed>): Promise<Finding[]> {
  const probed = await asked;
  if ('error' in probed) return [unknown('the node could not be asked')];
  const { receivableMsat } = probed.state;
  if (receivableMsat === null) return [unknown(`the macaroon lacks ${CHANNEL_BALANCE}`, 'Add it, or look with lncli channelbalance.')];
  const sats = Number(receivableMsat / 1000n);
  const told = `${sats.toLocaleString('en-US')} sats can come in`;
  const advice = 'Buy an incoming channel, or pay or swap out over Lightning (docs/lightning.md, Liquidity).';
  if (sats === 0) return [problem(told, advice)];
  return [sats < ROOM_SATS ? warning(`${told}, less than the largest top-up`, advice) : ok(told)];
}

async function lookAtNwc({ NWC_URL = '', WITHDRAWALS }: Config, database: ReachedDatabase, world: World): Promise<Finding[]> {
  const { network, missing, spending, lists } = await world.nwc(NWC_URL);
  const found: Finding[] = [ok(`answers over Nostr Wallet Connect, on ${network}`)];
  if (missing.length > 0) found.push(problem(`the connection lacks ${missing.join(' and ')}`, 'Make a connection with these permissions.'));
  if (spending.length > 0)
    found.push(
      warning(`the connection can spend (${spending.join(', ')})`, 'Make one that only receives: this one is a key to your money.'),
    );
  if (!lists) found.push(warning('the connection lacks list_transactions', 'Add it: what a restore has lost is found by it.'));
  if (WITHDRAWALS) found.push(warning('WITHDRAWALS is on, and this wallet does not pay out', 'Use LND, or take WITHDRAWALS away.'));
  found.push(note('what it can receive is not told over this protocol', 'Look in the wallet.'));
  return [...found, ...(await otherNetwork(network, database))];
}

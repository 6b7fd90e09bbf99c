import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { diagnose } from '../../src/doctor/diagnose.ts';
import { WORLD } from '../../src/doctor/world.ts';
import { startRegtest, type Regtest } from '../regtest/regtest.ts';

let regtest: Regtest;
beforeAll(async () => {
  regtest = await startRegtest();
});
afterAll(() => regtest?.close());

async function look(macaroon: Buffer, env: Record<string, string> = {}) {
  const { gateway } = regtest;
  const wallet = { LND_SOCKET: gateway.socket, LND_MACAROON: macaroon.toString('hex'), LND_CERT: gateway.cert.toString('base64') };
  const { findings } = await diagnose({ env: { BTC_USD: '64000', ...wallet, ...env }, world: WORLD, version: '1' });
  return (check: string) => findings.filter((finding) => finding.check === check).map(({ level, found }) => [level, found]);
}

it('a macaroon that is too small is told by the names of the calls, from the macaroon and by the node', async () => {
  const found = await look(await regtest.gateway.bake('small', ['uri:/lnrpc.Lightning/AddInvoice', 'uri:/lnrpc.Lightning/LookupInvoice']));
  expect(found('LND_MACAROON')[0]).toEqual(['problem', 'lacks uri:/lnrpc.Lightning/SubscribeInvoices uri:/lnrpc.Lightning/GetInfo']);
  expect(found('LND')).toEqual([['problem', expect.stringContaining('LND refuses the macaroon')]]);
});

it('the least macaroon is enough, also to see the room to receive, which one call less hides', async () => {
  const found = await look(await regtest.gateway.leastMacaroon());
  expect(found('LND')).toEqual([['ok', expect.stringMatching(/on regtest, 0[23]/)]]);
  expect(found('LND_CERT')).toEqual([['ok', expect.stringMatching(/^good for \d+ more days$/)]]);
  expect(found('LND_MACAROON')).toEqual([['ok', 'permits what the gateway needs, and no more']]);
  const [[level, room] = []] = found('incoming liquidity');
  expect(level).toBe('ok');
  expect(Number(String(room).replace(/\D/g, ''))).toBeGreaterThan(1_000_000);
  const calls = ['AddInvoice', 'LookupInvoice', 'SubscribeInvoices', 'GetInfo'].map((call) => `uri:/lnrpc.Lightning/${call}`);
  const blind = await look(await regtest.gateway.bake('blind', calls));
  expect(blind('incoming liquidity')).toEqual([['unknown', expect.stringContaining('ChannelBalance')]]);
  expect(blind('LND_MACAROON').map(([how]) => how)).toEqual(['warning', 'note']);
});

it('a macaroon that only receives is told where withdrawals are on', async () => {
  const found = await look(await regtest.gateway.leastMacaroon(), { WITHDRAWALS: 'true' });
  expect(found('LND_MACAROON')[0]).toEqual(['problem', expect.stringContaining('uri:/routerrpc.Router/SendPaymentV2')]);
});

it('a node that is frozen is told within the deadline', async () => {
  const least = await regtest.gateway.leastMacaroon();
  regtest.gateway.freeze();
  try {
    const found = await look(least);
    expect(found('LND')).toEqual([['problem', expect.stringContaining('LND does not answer')]]);
  } finally {
    regtest.gateway.thaw();
  }
});

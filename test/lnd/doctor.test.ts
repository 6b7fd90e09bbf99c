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

it('the least macaroon is enough, and room to receive is seen with one call more', async () => {
  const least = await regtest.gateway.leastMacaroon();
  const found = await look(least);
  expect(found('LND')).toEqual([['ok', expect.stringMatching(/on regtest, 0[23]/)]]);
  expect(found('LND_CERT')).toEqual([['ok', expect.stringMatching(/^good for \d+ more days$/)]]);
  expect(found('LND_MACAROON').map(([level]) => level)).not.toContain('problem');
  const calls = ['AddInvoice', 'LookupInvoice', 'SubscribeInvoices', 'GetInfo', 'ListInvoices', 'ChannelBalance'];
  const whole = await look(
    await regtest.gateway.bake(
      'whole',
      calls.map((call) => `uri:/lnrpc.Lightning/${call}`),
    ),
  );
  expect(whole('LND_MACAROON')).toEqual([['ok', 'permits what the gateway needs, and no more']]);
  const [[level, room] = []] = whole('incoming liquidity');
  expect([level, Number(String(room).replace(/\D/g, ''))]).toEqual(['ok', expect.any(Number)]);
  expect(Number(String(room).replace(/\D/g, ''))).toBeGreaterThan(1_000_000);
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

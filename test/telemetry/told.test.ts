import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { METRICS, type MetricName } from '../../src/telemetry/metric-table.ts';
import { chat } from '../support/chat.ts';
import { startFakeUpstream, type FakeUpstream } from '../support/fake-upstream.ts';
import { foreignInvoice } from '../support/foreign-invoice.ts';
import { startGateway, type TestGateway, type TestKey } from '../support/gateway.ts';
import { samplesIn, type Sample } from '../support/metric-samples.ts';
import { startNostrRelay, type NostrRelay } from '../support/nostr-relay.ts';
import { startNwcPayerService, type NwcPayerService } from '../support/nwc-payer-service.ts';
import { until } from '../support/until.ts';

const PATH = '/v1/chat/completions';
const TOKEN = 'operator-0123456789';
const FAILS = 'first-one-fails';

let upstream: FakeUpstream;
let relay: NostrRelay;
let wallet: NwcPayerService;
let gateway: TestGateway;
let rich: TestKey;
beforeAll(async () => {
  upstream = await startFakeUpstream();
  let asked = 0;
  upstream.answer(FAILS, (exchange) =>
    asked++ === 0 ? exchange.raw(Buffer.from('{}'), { status: 500 }) : upstream.answerPlainly(exchange),
  );
  relay = await startNostrRelay();
  gateway = await startGateway({
    deployments: [
      upstream.deployment('openai-chat', { prices: { input: 1, output: 2 } }),
      upstream.deployment('anthropic-messages', { prices: { input: 50, output: 90 } }),
    ],
    env: { ADMIN_TOKEN: TOKEN, WITHDRAWALS: 'true', FREE_TIER_REQUESTS: '1' },
    autopay: { payers: { allowLoopback: true } },
  });
  wallet = await startNwcPayerService({ relayUrls: [relay.url], pay: (invoice) => gateway.pay(invoice) });
});
afterAll(async () => {
  expect(await gateway.audit()).toEqual([]);
  await gateway.close();
  wallet.close();
  await relay.stop();
  await upstream.close();
});

const samples = async (): Promise<Sample[]> =>
  samplesIn(await (await fetch(`${gateway.url}/metrics`, { headers: { authorization: `Bearer ${TOKEN}` } })).text());
/** What a counter or histogram has come to, over all that the labels leave open. */
const sumOf = (all: readonly Sample[], name: string, labels: Record<string, string> = {}) =>
  all
    .filter((one) => one.name === name && Object.entries(labels).every(([label, value]) => one.labels[label] === value))
    .reduce((sum, { value }) => sum + value, 0);

async function ask(fields: object, key: TestKey, id = 'plain'): Promise<number> {
  const answer = await gateway.post(
    PATH,
    chat({ model: 'auto', routing: { cost_weight: 1, models: ['pureai/openai-chat', 'pureai/anthropic-messages'] }, ...fields }),
    key,
    {
      'x-client-request-id': id,
    },
  );
  await answer.text();
  return answer.status;
}

/** Something of all that can happen to a gateway in an hour. */
async function anHour(): Promise<void> {
  const poor = await gateway.newKey();
  const slow = await gateway.newKey({ rateLimitRpm: 1 });
  rich = await gateway.newKey();
  expect(await ask({}, poor)).toBe(200);
  await gateway.fund(rich, 5_000);
  // The first one is free.
  for (let n = 0; n < 2; n++) expect(await ask({}, rich)).toBe(200);
  expect(await ask({ stream: true }, rich)).toBe(200);
  expect(await ask({}, rich, FAILS)).toBe(200);
  expect([await ask({}, slow), await ask({}, slow)]).toEqual([200, 429]);
  const paid = await gateway.post(
    '/api/wallet/withdraw',
    { paymentRequest: foreignInvoice({ amountMsat: 500_000n }).paymentRequest },
    rich,
    {
      'idempotency-key': 'one',
    },
  );
  expect(await paid.json()).toMatchObject({ status: 'paid' });
  const settings = { nwcUrl: wallet.url, thresholdSats: 100, topupSats: 1_000, dailyLimitSats: 5_000 };
  const stored = await fetch(`${gateway.url}/api/wallet/autopay`, {
    method: 'PUT',
    headers: { authorization: `Bearer ${poor.secret}`, 'content-type': 'application/json' },
    body: JSON.stringify(settings),
  });
  expect(stored.status).toBe(200);
  for (const path of ['/.well-known/lnurlp/nobody', '/lnurl/withdraw?k1=none', '/lnurl/auth?tag=login']) {
    expect(await (await fetch(gateway.url + path)).json()).toMatchObject({ status: 'ERROR' });
  }
  const signIns = { '/console/sign-in': `key=${rich.secret}`, '/admin/sign-in': `token=${TOKEN}` };
  for (const [path, form] of Object.entries(signIns))
    expect((await fetch(gateway.url + path, { method: 'POST', body: new URLSearchParams(form), redirect: 'manual' })).status).toBe(303);
  await until(async () => sumOf(await samples(), 'pura_autopay_attempts_total', { result: 'paid' }) === 1);
  await until(async () => sumOf(await samples(), 'pura_ledger_batch_rows_count', { kind: 'record' }) > 0);
}

/** What no hour brings that goes well, and where it is shown that it is told: in the tests of what tells of it. */
const OF_BAD_HOURS: ReadonlySet<MetricName> = new Set(['pura_records_lost_total', 'pura_log_lines_dropped_total']);
/** What is told only where prices come from public sources. */
const OF_LIVE_RATES: ReadonlySet<MetricName> = new Set(['pura_price_answers_total']);

describe('after an hour at work', () => {
  let all: Sample[];
  beforeAll(async () => {
    await anHour();
    // The gateway that looks at levels does so by itself, soon after its start.
    all = await until(async () => {
      const now = await samples();
      return now.some(({ name }) => name === 'pura_owed_msat') && now;
    });
  });

  const TOLD = (Object.keys(METRICS) as MetricName[]).filter((name) => !OF_LIVE_RATES.has(name));
  const own = (name: MetricName) => all.filter((sample) => sample.name === name || sample.name === `${name}_count`);

  it.each(TOLD)('%s is told, with its labels', (name) => {
    expect(own(name).length).toBeGreaterThan(0);
    for (const { labels } of own(name)) expect(Object.keys(labels).toSorted()).toEqual([...METRICS[name].labels].toSorted());
  });

  it.each(TOLD.filter((name) => METRICS[name].type !== 'gauge' && !OF_BAD_HOURS.has(name)))('%s has counted something', (name) => {
    expect(own(name).reduce((sum, { value }) => sum + value, 0)).toBeGreaterThan(0);
  });

  it.each<[string, Record<string, string>]>([
    ['pura_deposits_msat_total', { via: 'invoice' }],
    ['pura_deposits_msat_total', { via: 'autopay' }],
    ['pura_house_loss_msat_total', { reason: 'free' }],
    ['pura_requests_total', { funding: 'free', outcome: 'ok' }],
    ['pura_requests_total', { funding: 'wallet', outcome: 'ok' }],
    ['pura_attempts_total', { result: 'failed' }],
    ['pura_refusals_total', { limit: 'rpm' }],
    ['pura_lnurl_requests_total', { tag: 'payRequest', result: 'refused' }],
    ['pura_lnurl_requests_total', { tag: 'withdrawRequest', result: 'refused' }],
    ['pura_lnurl_requests_total', { tag: 'login', result: 'refused' }],
    ['pura_sign_ins_total', { how: 'key', result: 'ok' }],
    ['pura_sign_ins_total', { how: 'admin', result: 'ok' }],
    ['pura_lightning_up', {}],
  ])('%s has %p', (name, labels) => {
    expect(sumOf(all, name, labels)).toBeGreaterThan(0);
  });

  it('the money that is told is the ledger’s', async () => {
    const { rows } = await gateway.pool.query<{ kind: string; msat: string }>(
      `select kind::text, sum(amount_msat)::text as msat from transfers group by kind`,
    );
    const ledger = Object.fromEntries(rows.map(({ kind, msat }) => [kind, Number(msat)]));
    expect({
      deposit: sumOf(all, 'pura_deposits_msat_total'),
      charge: sumOf(all, 'pura_charges_msat_total'),
      withdrawal: sumOf(all, 'pura_withdrawn_msat_total') + sumOf(all, 'pura_withdrawal_fees_msat_total'),
    }).toEqual({ deposit: ledger['deposit'], charge: ledger['charge'], withdrawal: ledger['withdrawal'] });
  });
});

import { beforeEach, describe, expect, it } from '@jest/globals';
import { existsSync, readFileSync } from 'node:fs';
import type { AttemptFacts, Observation, ObservedDeployment, RequestAnswer, RequestFacts, RequestOutcome } from '../../src/observation.ts';
import { Metrics, type MetricSources } from '../../src/telemetry/metrics.ts';
import { METRICS } from '../../src/telemetry/metric-table.ts';
import { samplesIn, type Sample } from '../support/metric-samples.ts';
import { randomFrom } from '../support/random.ts';

const SOURCES: MetricSources = {
  providers: () => [
    { id: 'openai', isAvailable: true },
    { id: 'demo', isAvailable: false },
  ],
  exchangeRate: () => ({ btcUsd: 64_000, ageSeconds: 12 }),
  queues: () => ({ hold: 3, record: 1 }),
  streamsOpen: () => 2,
  logLinesDropped: () => 5,
};
const SEED = 20_261_128;
const STAGES = { identifiedAt: 0, planAt: 0, plannedAt: 0, admitAt: 0, admittedAt: 0, settleAt: 0, settledAt: 0 };
const USAGE = { input: 100, cacheRead: 20, cacheWrite: 0, cacheWriteLong: 0, output: 30, reasoning: 0 };

let now: number;
let metrics: Metrics;
beforeEach(() => {
  now = 1_000_000;
  metrics = new Metrics({
    build: { version: '0.1.0', backend: 'simulated', network: 'simulated', serviceName: 'pura' },
    isConfigured: ({ id }) => id.startsWith('openai/configured'),
    sources: SOURCES,
    now: () => now,
    wallNow: () => 1_700_000_000_000 + now,
    ofProcess: false,
  });
});

const deployment = (model: string, provider = 'openai'): ObservedDeployment => ({
  id: `${provider}/${model}`,
  model,
  operation: 'generate',
  provider: { id: provider },
});
const attempt = (facts: Partial<AttemptFacts> = {}): Observation<'attempt'> => ({
  kind: 'attempt',
  deployment: deployment('configured-1'),
  startedAt: 0,
  endedAt: 900,
  respondedAt: 100,
  status: 200,
  result: 'ok',
  stream: false,
  firstChunkMs: null,
  spanId: null,
  after: null,
  ...facts,
});
const answer = (facts: Partial<RequestAnswer> = {}): RequestAnswer => ({
  deployment: deployment('configured-1'),
  usage: USAGE,
  ttftMs: 120,
  costPicoUsd: 2_000_000_000n,
  costMsat: 3_125n,
  providerCostPicoUsd: 1_000_000_000n,
  chargedMsat: 3_125n,
  losses: {},
  ...facts,
});
const request = (facts: Partial<RequestFacts> = {}): Observation<'request'> => ({
  kind: 'request',
  requestId: 'r',
  surface: 'openai-chat',
  path: '/v1/chat/completions',
  trace: null,
  stages: STAGES,
  startedAt: 0,
  endedAt: 1000,
  outcome: 'ok',
  code: null,
  status: 200,
  funding: 'wallet',
  plan: null,
  admission: null,
  answer: answer(),
  attempts: [attempt()],
  ...facts,
});
const samples = async (): Promise<Sample[]> => samplesIn(await metrics.text());
const valueOf = async (name: string, labels: Record<string, string> = {}): Promise<number | undefined> =>
  (await samples()).find(
    (sample) => sample.name === name && Object.entries(labels).every(([label, value]) => sample.labels[label] === value),
  )?.value;

const LEVELS: Observation<'levels'> = {
  kind: 'levels',
  owedMsat: 4_210n,
  heldMsat: 10n,
  spendableMsat: 5_000n,
  receivableMsat: null,
  freeSpentPicoUsd: 4_000_000_000_000n,
  freeReservedPicoUsd: 0n,
  freeCeilingPicoUsd: 100_000_000_000_000n,
  invoicesOpen: 3,
  checkOverdueSeconds: 1.5,
  withdrawalsPending: 1,
  withdrawalOldestSeconds: 20,
  orphans: 0,
  holdsPending: 7,
  holdOldestSeconds: 9,
  autopayPaused: 2,
};
const span = { startedAt: 0, endedAt: 500 };

describe('what is observed moves its metric', () => {
  it.each<[string, readonly Observation[], string, Record<string, string>, number]>([
    ['a request', [request()], 'pura_requests_total', { surface: 'openai-chat', funding: 'wallet', outcome: 'ok', code: '' }, 1],
    [
      'a refusal',
      [request({ outcome: 'rejected', code: 'insufficient_balance', answer: null, funding: null, attempts: [] })],
      'pura_requests_total',
      { outcome: 'rejected', code: 'insufficient_balance', funding: '' },
      1,
    ],
    ['time of our own', [request()], 'pura_overhead_seconds_sum', { surface: 'openai-chat' }, 0.1],
    [
      'a charge',
      [request(), request()],
      'pura_charges_msat_total',
      { provider: 'openai', model: 'configured-1', funding: 'wallet' },
      6_250,
    ],
    ['a cost', [request()], 'pura_cost_usd_total', { model: 'configured-1' }, 0.002],
    ['a cost at the provider', [request()], 'pura_provider_cost_usd_total', { model: 'configured-1' }, 0.001],
    ...(['free', 'overrun', 'undelivered', 'refund', 'crash'] as const).map(
      (reason): [string, Observation[], string, Record<string, string>, number] => [
        `what the house pays: ${reason}`,
        [request({ answer: answer({ deployment: null, losses: { [reason]: 7n } }) })],
        'pura_house_loss_msat_total',
        { reason },
        7,
      ],
    ),
    [
      'a fee above the limit',
      [{ kind: 'withdrawal_above_limit', withdrawalId: 'w', feeMsat: 12_000n, feeLimitMsat: 10_000n }],
      'pura_house_loss_msat_total',
      { reason: 'fee' },
      2_000,
    ],
    [
      'a crash',
      [
        { kind: 'dead_gateway_refunded', instanceId: 'i', refunded: 1, refundedMsat: 5n },
        { kind: 'stored_answers_refunded', refunded: 1, refundedMsat: 2n },
      ],
      'pura_house_loss_msat_total',
      { reason: 'crash' },
      7,
    ],
    [
      'a choice',
      [request({ plan: { candidates: 2, chosen: deployment('configured-1'), tier: 'mid', explored: true, isRouted: true } })],
      'pura_router_choices_total',
      { tier: 'mid', model: 'configured-1', explored: 'true' },
      1,
    ],
    ['a first word', [request()], 'gen_ai_server_time_to_first_token_seconds_sum', { gen_ai_request_model: 'configured-1' }, 0.12],
    ['tokens', [request()], 'gen_ai_client_token_usage_sum', { gen_ai_token_type: 'input' }, 120],
    ['tokens of a cache', [request()], 'gen_ai_client_token_usage_sum', { gen_ai_token_type: 'cached_input' }, 20],
    ['an attempt', [attempt()], 'pura_attempts_total', { provider: 'openai', model: 'configured-1', result: 'ok' }, 1],
    [
      'an attempt that failed',
      [attempt({ result: 'timeout' })],
      'gen_ai_client_operation_duration_seconds_count',
      { error_type: 'timeout', gen_ai_operation_name: 'chat', gen_ai_provider_name: 'openai' },
      1,
    ],
    ['a fallback', [attempt({ after: deployment('m', 'groq') })], 'pura_fallbacks_total', { from: 'groq', to: 'openai' }, 1],
    [
      'a request over HTTP',
      [
        { kind: 'http_began', method: 'GET' },
        { kind: 'http_began', method: 'GET' },
        { kind: 'http', method: 'GET', route: '/ready', scheme: 'http', status: 503, code: null, ...span },
      ],
      'http_server_request_duration_seconds_count',
      { http_request_method: 'GET', http_route: '/ready', http_response_status_code: '503', url_scheme: 'http', error_type: '503' },
      1,
    ],
    [
      'a method of no standard',
      [{ kind: 'http_began', method: 'BREW' }],
      'http_server_active_requests',
      { http_request_method: '_OTHER' },
      1,
    ],
    [
      'a deposit',
      [{ kind: 'deposit', invoiceId: 'i', receivedMsat: 9n, via: 'l402', settledAt: null, ...span }],
      'pura_deposits_msat_total',
      { via: 'l402' },
      9,
    ],
    [
      'the delay of a credit',
      [
        {
          kind: 'deposit',
          invoiceId: 'i',
          receivedMsat: 9n,
          via: 'invoice',
          settledAt: new Date(1_700_000_000_000 + 1_000_000 - 2_500),
          ...span,
        },
      ],
      'pura_credit_delay_seconds_sum',
      {},
      2.5,
    ],
    ['a withdrawal', [{ kind: 'withdrawal_paid', withdrawalId: 'w', amountMsat: 50n, feeMsat: 2n }], 'pura_withdrawn_msat_total', {}, 50],
    ['its fee', [{ kind: 'withdrawal_paid', withdrawalId: 'w', amountMsat: 50n, feeMsat: 2n }], 'pura_withdrawal_fees_msat_total', {}, 2],
    [
      'a batch',
      [{ kind: 'ledger_batch', rows: [{ requestId: 'r' }], lane: false, verdicts: [], ...span }],
      'pura_ledger_batch_rows_sum',
      { kind: 'hold' },
      1,
    ],
    [
      'a lane',
      [{ kind: 'ledger_batch', rows: [], lane: true, verdicts: [], ...span }],
      'pura_ledger_batch_seconds_sum',
      { kind: 'lane' },
      0.5,
    ],
    [
      'a verdict',
      [{ kind: 'ledger_batch', rows: [], lane: false, verdicts: [{ verdict: 'admitted' }, Symbol('busy')], ...span }],
      'pura_ledger_verdicts_total',
      { verdict: 'busy' },
      1,
    ],
    ['records', [{ kind: 'record_batch', rows: [{ id: 'r' }, { id: 's' }], ...span }], 'pura_ledger_batch_rows_sum', { kind: 'record' }, 2],
    [
      'records that are lost',
      [
        { kind: 'record_dropped', requestId: 'r' },
        { kind: 'records_not_written', err: new Error('away'), records: 40 },
        { kind: 'records_not_written', err: new Error('away'), records: 1 },
      ],
      'pura_records_lost_total',
      {},
      2,
    ],
    ['a violation', [{ kind: 'audit', violations: new Map([[3, 2]]) }], 'pura_audit_violations', { invariant: '3' }, 2],
    ['an audit', [{ kind: 'audit', violations: new Map() }], 'pura_audit_last_success_timestamp_seconds', {}, 1_700_001_000],
    [
      'a call to the node',
      [{ kind: 'lightning_call', call: 'createInvoice', result: 'failed', ...span }],
      'pura_lightning_call_seconds_count',
      { call: 'createInvoice', result: 'failed' },
      1,
    ],
    ['a node that is away', [{ kind: 'lightning_state', isUp: false }], 'pura_lightning_up', {}, 0],
    ['the watcher', [{ kind: 'watcher_progress' }], 'pura_watcher_progress_timestamp_seconds', {}, 1_700_001_000],
    ['a limit', [{ kind: 'refusal', limit: 'tpm' }], 'pura_refusals_total', { limit: 'tpm' }, 1],
    [
      'a price source',
      [{ kind: 'price_asked', source: 'kraken', result: 'failed' }],
      'pura_price_answers_total',
      { source: 'kraken', result: 'failed' },
      1,
    ],
    ['autopay', [{ kind: 'autopay', invoiceId: 'i', result: 'paid', ...span }], 'pura_autopay_attempts_total', { result: 'paid' }, 1],
    [
      'LNURL',
      [{ kind: 'lnurl_request', tag: 'payRequest', result: 'ok' }],
      'pura_lnurl_requests_total',
      { tag: 'payRequest', result: 'ok' },
      1,
    ],
    ['a sign-in', [{ kind: 'sign_in', how: 'admin', result: 'refused' }], 'pura_sign_ins_total', { how: 'admin', result: 'refused' }, 1],
    ['what is owed', [LEVELS], 'pura_owed_msat', {}, 4_210],
    ['what the node can pay', [LEVELS], 'pura_node_spendable_msat', {}, 5_000],
    ['the free day', [LEVELS], 'pura_free_day_usd', { kind: 'spent' }, 4],
  ])('%s', async (_what, observed, name, labels, expected) => {
    for (const one of observed) metrics.read(one);
    expect(await valueOf(name, labels)).toBeCloseTo(expected, 9);
  });

  it('counts what is in bounds of a histogram into every bucket above it', async () => {
    for (const endedAt of [200, 900, 900, 700_000]) metrics.read(attempt({ endedAt }));
    const buckets = (await samples()).filter(({ name }) => name === 'gen_ai_client_operation_duration_seconds_bucket');
    expect(Object.fromEntries(buckets.map(({ labels, value }) => [labels['le'], value]))).toMatchObject({
      0.1: 0,
      0.25: 1,
      0.5: 1,
      1: 3,
      300: 3,
      '+Inf': 4,
    });
  });
});

describe('what is asked for', () => {
  it('is asked at every scrape', async () => {
    expect(await valueOf('pura_provider_available', { provider: 'demo' })).toBe(0);
    expect(await valueOf('pura_exchange_rate_age_seconds')).toBe(12);
    expect(await valueOf('pura_ledger_queue', { kind: 'hold' })).toBe(3);
    expect(await valueOf('pura_streams_open')).toBe(2);
    expect(await valueOf('pura_log_lines_dropped_total')).toBe(5);
    expect(await valueOf('pura_build_info', { version: '0.1.0', backend: 'simulated', network: 'simulated' })).toBe(1);
  });

  it('levels that nobody renews are told no longer, and what is unknown is not told as 0', async () => {
    metrics.read(LEVELS);
    expect(await valueOf('pura_node_receivable_msat')).toBeUndefined();
    now += 60_000;
    expect(await valueOf('pura_owed_msat')).toBe(4_210);
    now += 1;
    expect([
      await valueOf('pura_owed_msat'),
      await valueOf('pura_free_day_usd', { kind: 'ceiling' }),
      await valueOf('pura_lightning_up'),
    ]).toEqual([undefined, undefined, undefined]);
  });
});

describe('the number of series', () => {
  const OUTCOMES: RequestOutcome[] = [
    'ok',
    'refused',
    'upstream_error',
    'client_gone',
    'broke_off',
    'provider_error',
    'lease_lost',
    'unsettled',
  ];
  const RESULTS: AttemptFacts['result'][] = ['ok', 'refused', 'rate_limited', 'timeout', 'failed', 'given_up'];
  const SURFACES = ['openai-chat', 'openai-completions', 'openai-responses', 'anthropic-messages', 'openai-embeddings', 'pura-router'];

  it(`is bounded by the configuration, whatever clients send (seed ${SEED})`, async () => {
    const random = randomFrom(SEED);
    const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)] as T;
    for (let n = 0; n < 5_000; n++) {
      // Two models of the configuration, and any number of others.
      const asked = pick([
        deployment('configured-1'),
        deployment('configured-2'),
        deployment(`odd ${n} "\\\n`),
        deployment(`m${n}`, `p${n}`),
      ]);
      const told = pick(RESULTS);
      const attempts = [attempt({ deployment: asked, result: told, firstChunkMs: told === 'ok' ? 50 : null, after: pick([null, asked]) })];
      for (const one of attempts) metrics.read(one);
      const plan = { candidates: 1, chosen: asked, tier: 'mid', explored: pick([true, false]), isRouted: true };
      const usage = { input: 10, cacheRead: 5, cacheWrite: 5, cacheWriteLong: 0, output: 20, reasoning: 10 };
      const funding = pick(['free', 'wallet', 'byok'] as const);
      metrics.read(
        request({
          surface: pick(SURFACES),
          funding,
          outcome: pick(OUTCOMES),
          plan,
          answer: answer({ deployment: asked, usage }),
          attempts,
        }),
      );
      const method = pick(['GET', 'POST', `M${n}`]);
      metrics.read({ kind: 'http_began', method });
      metrics.read({
        kind: 'http',
        method,
        route: pick(['/v1/chat/completions', '']),
        scheme: 'http',
        status: pick([200, 400, 402, 503]),
        code: null,
        ...span,
      });
    }
    const all = await samples();
    expect(all.length).toBeLessThanOrEqual(4_000);
    const ofModel = Map.groupBy(all, ({ labels }) => labels['model'] ?? labels['gen_ai_request_model'] ?? '');
    expect([...ofModel.keys()].toSorted()).toEqual(['', 'configured-1', 'configured-2', 'other']);
    for (const model of ['configured-1', 'configured-2']) expect(ofModel.get(model)?.length).toBeLessThanOrEqual(250);
    const providers = new Set(all.map(({ labels }) => labels['provider'] ?? labels['gen_ai_provider_name']).filter(Boolean));
    expect(providers.size).toBeLessThanOrEqual(18);
  });

  it('has a label for two hundred models', async () => {
    for (let n = 0; n < 300; n++) metrics.read(attempt({ deployment: deployment(`configured-${n}`) }));
    const models = new Set((await samples()).filter(({ name }) => name === 'pura_attempts_total').map(({ labels }) => labels['model']));
    expect(models.size).toBe(201);
    expect(models.has('other')).toBe(true);
  });
});

/** Names and labels, as those rely on them who have dashboards. */
const PROMISED: Record<string, [type: string, ...labels: string[]]> = {
  http_server_request_duration_seconds: [
    'histogram',
    'http_request_method',
    'http_route',
    'http_response_status_code',
    'url_scheme',
    'error_type',
  ],
  http_server_active_requests: ['gauge', 'http_request_method'],
  gen_ai_server_request_duration_seconds: [
    'histogram',
    'gen_ai_operation_name',
    'gen_ai_provider_name',
    'gen_ai_request_model',
    'error_type',
  ],
  gen_ai_server_time_to_first_token_seconds: [
    'histogram',
    'gen_ai_operation_name',
    'gen_ai_provider_name',
    'gen_ai_request_model',
    'error_type',
  ],
  gen_ai_client_operation_duration_seconds: [
    'histogram',
    'gen_ai_operation_name',
    'gen_ai_provider_name',
    'gen_ai_request_model',
    'error_type',
  ],
  gen_ai_client_operation_time_to_first_chunk_seconds: [
    'histogram',
    'gen_ai_operation_name',
    'gen_ai_provider_name',
    'gen_ai_request_model',
    'error_type',
  ],
  gen_ai_client_token_usage: ['histogram', 'gen_ai_operation_name', 'gen_ai_provider_name', 'gen_ai_request_model', 'gen_ai_token_type'],
  pura_overhead_seconds: ['histogram', 'surface'],
  pura_requests_total: ['counter', 'surface', 'funding', 'outcome', 'code'],
  pura_attempts_total: ['counter', 'provider', 'model', 'result'],
  pura_fallbacks_total: ['counter', 'from', 'to'],
  pura_router_choices_total: ['counter', 'tier', 'model', 'explored'],
  pura_provider_available: ['gauge', 'provider'],
  pura_deposits_msat_total: ['counter', 'via'],
  pura_charges_msat_total: ['counter', 'provider', 'model', 'funding'],
  pura_cost_usd_total: ['counter', 'provider', 'model', 'funding'],
  pura_provider_cost_usd_total: ['counter', 'provider', 'model', 'funding'],
  pura_withdrawn_msat_total: ['counter'],
  pura_withdrawal_fees_msat_total: ['counter'],
  pura_house_loss_msat_total: ['counter', 'reason'],
  pura_owed_msat: ['gauge'],
  pura_held_msat: ['gauge'],
  pura_node_spendable_msat: ['gauge'],
  pura_node_receivable_msat: ['gauge'],
  pura_free_day_usd: ['gauge', 'kind'],
  pura_invoices_open: ['gauge'],
  pura_invoice_check_overdue_seconds: ['gauge'],
  pura_credit_delay_seconds: ['histogram'],
  pura_withdrawals_pending: ['gauge'],
  pura_withdrawal_oldest_seconds: ['gauge'],
  pura_orphan_settlements: ['gauge'],
  pura_holds_pending: ['gauge'],
  pura_hold_oldest_seconds: ['gauge'],
  pura_streams_open: ['gauge'],
  pura_ledger_batch_seconds: ['histogram', 'kind'],
  pura_ledger_batch_rows: ['histogram', 'kind'],
  pura_ledger_queue: ['gauge', 'kind'],
  pura_ledger_verdicts_total: ['counter', 'verdict'],
  pura_audit_violations: ['gauge', 'invariant'],
  pura_audit_last_success_timestamp_seconds: ['gauge'],
  pura_lightning_up: ['gauge'],
  pura_lightning_call_seconds: ['histogram', 'call', 'result'],
  pura_watcher_progress_timestamp_seconds: ['gauge'],
  pura_exchange_rate_usd: ['gauge'],
  pura_exchange_rate_age_seconds: ['gauge'],
  pura_price_answers_total: ['counter', 'source', 'result'],
  pura_refusals_total: ['counter', 'limit'],
  pura_autopay_attempts_total: ['counter', 'result'],
  pura_autopay_paused: ['gauge'],
  pura_lnurl_requests_total: ['counter', 'tag', 'result'],
  pura_sign_ins_total: ['counter', 'how', 'result'],
  pura_records_lost_total: ['counter'],
  pura_log_lines_dropped_total: ['counter'],
  pura_build_info: ['gauge', 'version', 'backend', 'network'],
  target_info: ['gauge', 'service_name', 'service_version', 'gen_ai_semantic_conventions'],
};
const OF_PROCESS = ['nodejs_eventloop_lag_p99_seconds', 'process_resident_memory_bytes', 'process_open_fds'];
const AGREED = new URL('../../../shared/PEOPLE.md', import.meta.url);

describe('the names', () => {
  it('are those that are promised', () => {
    const told = Object.entries(METRICS).map(([name, { type, labels }]) => [name, [type, ...labels]]);
    expect(Object.fromEntries(told)).toEqual(PROMISED);
  });

  it('of the process are told beside them', async () => {
    const whole = new Metrics({
      build: { version: '', backend: '', network: '', serviceName: '' },
      isConfigured: () => true,
      sources: SOURCES,
    });
    const text = await whole.text();
    for (const name of OF_PROCESS) expect(text).toContain(`\n${name} `);
  });

  it('are those of the operators’ page', () => {
    if (!existsSync(AGREED)) {
      console.warn('skipped: the operators’ page is not beside the project');
      return;
    }
    const rows = (/### Metrics[\s\S]*?### Alerts/.exec(readFileSync(AGREED, 'utf8'))?.[0] ?? '')
      .split('\n')
      .filter((line) => line.startsWith('| `'));
    const named = rows.flatMap((row) => [...(row.split('|')[1] ?? '').matchAll(/`([a-z_0-9]+)`/g)].map(([, name = '']) => name));
    expect(named.length).toBeGreaterThan(50);
    expect(named.filter((name) => !(name in PROMISED) && !OF_PROCESS.includes(name))).toEqual([]);
    expect(Object.keys(PROMISED).filter((name) => !named.includes(name))).toEqual(['pura_price_answers_total', 'target_info']);
  });
});

/** Every metric that `/metrics` tells, by name. Names, types and labels are a promise to those who have dashboards. */
export interface MetricRow {
  readonly type: 'counter' | 'gauge' | 'histogram';
  readonly help: string;
  readonly labels: readonly string[];
  /** Upper bounds, of a histogram. */
  readonly buckets?: readonly number[];
}

/** Of seconds, at our edge. */
const HTTP_BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300];
/** Of those that there is one of for each model and error: few, so that all of a model's series stay few. */
const ANSWER_BUCKETS = [0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300];
const FIRST_WORD_BUCKETS = [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];
const TOKEN_BUCKETS = [8, 64, 512, 4096, 32_768, 262_144];
const CALL_BUCKETS = [0.005, 0.025, 0.1, 0.5, 2.5, 10, 30];
const OVERHEAD_BUCKETS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1];
const BATCH_BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5];
const ROW_BUCKETS = [1, 2, 4, 8, 16, 32, 64, 128, 512];
const CREDIT_BUCKETS = [0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3600];

const GEN_AI = ['gen_ai_operation_name', 'gen_ai_provider_name', 'gen_ai_request_model'];
type Row<Type extends MetricRow['type']> = MetricRow & { readonly type: Type };

const counter = (help: string, ...labels: string[]): Row<'counter'> => ({ type: 'counter', help, labels });
const gauge = (help: string, ...labels: string[]): Row<'gauge'> => ({ type: 'gauge', help, labels });
const histogram = (help: string, buckets: readonly number[], ...labels: string[]): Row<'histogram'> => ({
  type: 'histogram',
  help,
  labels,
  buckets,
});

export const METRICS = {
  http_server_request_duration_seconds: histogram(
    'From the first byte of a request to the last one of its answer.',
    HTTP_BUCKETS,
    ...['http_request_method', 'http_route', 'http_response_status_code', 'url_scheme', 'error_type'],
  ),
  http_server_active_requests: gauge('Requests that are not answered yet.', 'http_request_method'),
  gen_ai_server_request_duration_seconds: histogram('Inference requests at our edge, whole.', ANSWER_BUCKETS, ...GEN_AI, 'error_type'),
  gen_ai_server_time_to_first_token_seconds: histogram('To the first word, at our edge.', FIRST_WORD_BUCKETS, ...GEN_AI, 'error_type'),
  gen_ai_client_operation_duration_seconds: histogram('Attempts at providers, whole.', ANSWER_BUCKETS, ...GEN_AI, 'error_type'),
  gen_ai_client_operation_time_to_first_chunk_seconds: histogram(
    'To the first word of a stream, of attempts at providers.',
    FIRST_WORD_BUCKETS,
    ...[...GEN_AI, 'error_type'],
  ),
  gen_ai_client_token_usage: histogram('Tokens that were billed.', TOKEN_BUCKETS, ...GEN_AI, 'gen_ai_token_type'),
  pura_overhead_seconds: histogram('What of a request we took ourselves, its provider aside.', OVERHEAD_BUCKETS, 'surface'),
  pura_requests_total: counter('Inference requests that have ended.', 'surface', 'funding', 'outcome', 'code'),
  pura_attempts_total: counter('Attempts at providers.', 'provider', 'model', 'result'),
  pura_fallbacks_total: counter('Attempts after another one for the same answer.', 'from', 'to'),
  pura_router_choices_total: counter('Choices of the router.', 'tier', 'model', 'explored'),
  pura_provider_available: gauge('Whether a provider is on, and some circuit of it closed.', 'provider'),
  pura_deposits_msat_total: counter('What was credited.', 'via'),
  pura_charges_msat_total: counter('What wallets were charged.', 'provider', 'model', 'funding'),
  pura_cost_usd_total: counter('What requests cost, markup included.', 'provider', 'model', 'funding'),
  pura_provider_cost_usd_total: counter("What requests cost at the providers' prices.", 'provider', 'model', 'funding'),
  pura_withdrawn_msat_total: counter('What was withdrawn, fees aside.'),
  pura_withdrawal_fees_msat_total: counter('What routing withdrawals cost.'),
  pura_house_loss_msat_total: counter('What the house paid for others.', 'reason'),
  pura_owed_msat: gauge('All balances together, what is held of them included.'),
  pura_held_msat: gauge('What of the balances is held.'),
  pura_node_spendable_msat: gauge('What the node can pay.'),
  pura_node_receivable_msat: gauge('What the node can receive.'),
  pura_free_day_usd: gauge("The day's free requests.", 'kind'),
  pura_invoices_open: gauge('Invoices that may still be paid.'),
  pura_invoice_check_overdue_seconds: gauge('How late the most overdue look at an invoice is.'),
  pura_credit_delay_seconds: histogram('From the settlement of an invoice to its credit.', CREDIT_BUCKETS),
  pura_withdrawals_pending: gauge('Withdrawals that are not final.'),
  pura_withdrawal_oldest_seconds: gauge('The age of the oldest of them.'),
  pura_orphan_settlements: gauge('Payments that the node knows and the ledger does not.'),
  pura_holds_pending: gauge('Holds that are not resolved.'),
  pura_hold_oldest_seconds: gauge('The age of the oldest of them.'),
  pura_streams_open: gauge('Streams to clients that are open.'),
  pura_ledger_batch_seconds: histogram('A batch of rows, from its sending to its commit.', BATCH_BUCKETS, 'kind'),
  pura_ledger_batch_rows: histogram('Rows of a batch.', ROW_BUCKETS, 'kind'),
  pura_ledger_queue: gauge('Rows that wait for a batch or are in one.', 'kind'),
  pura_ledger_verdicts_total: counter("The ledger's answers.", 'verdict'),
  pura_audit_violations: gauge('What the last audit found broken.', 'invariant'),
  pura_audit_last_success_timestamp_seconds: gauge('When an audit last came to its end.'),
  pura_lightning_up: gauge('Whether the node can be used.'),
  pura_lightning_call_seconds: histogram('Calls to the node.', CALL_BUCKETS, 'call', 'result'),
  pura_watcher_progress_timestamp_seconds: gauge('When the watcher of payments last got something done.'),
  pura_exchange_rate_usd: gauge('One bitcoin in USD.'),
  pura_exchange_rate_age_seconds: gauge('How old that rate is.'),
  pura_price_answers_total: counter('Questions to the public sources of the price of bitcoin.', 'source', 'result'),
  pura_refusals_total: counter('Requests over a limit.', 'limit'),
  pura_autopay_attempts_total: counter("Payments asked of payers' own wallets.", 'result'),
  pura_autopay_paused: gauge('Wallets that are not asked any more, after failures.'),
  pura_lnurl_requests_total: counter('Requests of wallets over LNURL.', 'tag', 'result'),
  pura_sign_ins_total: counter('Attempts to sign in.', 'how', 'result'),
  pura_records_lost_total: counter('Usage records that could not be written.'),
  pura_log_lines_dropped_total: counter('Log lines that could not be written.'),
  pura_build_info: gauge('1, with what runs.', 'version', 'backend', 'network'),
  target_info: gauge('1, with the conventions that names follow.', 'service_name', 'service_version', 'gen_ai_semantic_conventions'),
} satisfies Record<string, MetricRow>;

export type MetricName = keyof typeof METRICS;
export type NameOf<Type extends MetricRow['type']> = {
  [Name in MetricName]: (typeof METRICS)[Name]['type'] extends Type ? Name : never;
}[MetricName];

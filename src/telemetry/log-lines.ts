import type { Observation, ObservedKind } from '../observation.ts';

export type Level = 'debug' | 'info' | 'warn' | 'error';
type Fields = Record<string, unknown>;

/** A line has all the fields of what was observed, or those that `fields` gives. */
export interface LogLine<Kind extends ObservedKind> {
  readonly level: Level;
  readonly message: string;
  readonly fields?: (observation: Observation<Kind>) => Fields;
}

const line = <Kind extends ObservedKind>(
  level: Level,
  message: string,
  fields?: (observation: Observation<Kind>) => Fields,
): LogLine<Kind> => ({ level, message, ...(fields && { fields }) });

/** All fields but the kind, and but one that the message says. */
function fewer<Kind extends ObservedKind>(name: string): (observation: Observation<Kind>) => Fields {
  return (observation) => Object.fromEntries(Object.entries(observation).filter(([field]) => field !== 'kind' && field !== name));
}

type Line<Kind extends ObservedKind> = LogLine<Kind> | ((observation: Observation<Kind>) => LogLine<Kind> | null) | null;

/** What the log says of each kind: a line, one that depends on what was observed, or nothing. */
export const LOG_LINES: { readonly [Kind in ObservedKind]: Line<Kind> } = {
  request: null,
  attempt: null,
  http_began: null,
  http: null,
  refusal: null,
  service_failed: ({ code }) =>
    code === 'internal_error' ? line('error', 'a request failed for no foreseen reason') : line('warn', 'a request could not be served'),
  more_failed: line('warn', 'more requests could not be served in the same second'),
  stream_failed: line('warn', 'a stream failed before it began'),
  answer_cost_more: line('warn', 'an answer cost more than its hold'),

  ledger_batch: null,
  record_batch: null,
  record_dropped: line('warn', 'too many usage records wait: one is dropped'),
  records_not_written: line('error', 'usage records could not be written'),
  settlement_late: line('warn', 'a settlement waits for the database'),
  settlement_foreign: line('error', 'a hold was resolved by somebody else'),
  settlement_refused: line('error', 'the ledger refused a settlement: its hold is left to the sweeper'),
  charge_given_back: line('info', 'the charge of an answer that was not delivered was given back', ({ requestId, refundedMsat }) => ({
    requestId,
    refunded: refundedMsat !== null,
  })),
  refund_late: line('warn', 'a refund waits for the database'),
  leases_not_renewed: line('warn', 'leases could not be renewed'),
  lease_lost: line('warn', 'lost the lease of a hold'),
  beat_failed: line('warn', 'the database did not hear that this gateway lives'),
  holds_swept: line('warn', 'settled holds whose gateway is gone'),
  dead_gateway_refunded: line('warn', 'gave back the charges of answers that died with their gateway', ({ instanceId, refunded }) => ({
    instanceId,
    refunded,
  })),
  stored_answers_refunded: line(
    'warn',
    'gave back the charges of stored answers that died with their gateway and nobody asked for again',
    ({ refunded }) => ({ refunded }),
  ),
  audit: null,
  audit_unfinished: line('warn', 'an audit that an operator began could not be finished'),
  invariant_broken: line('error', 'the ledger breaks an invariant'),
  books_differ: line('error', "the ledger and the node's books differ: see `npm run reconcile`"),
  books_not_compared: line('warn', "the node's books could not be compared with the ledger"),

  deposit: line('info', 'credited a payment', ({ invoiceId, receivedMsat }) => ({ invoiceId, receivedMsat })),
  orphan_received: line('error', 'the node received a payment under our name that the ledger does not know: see `npm run reconcile`'),
  credit_late: line('warn', 'a settled invoice could not be credited yet'),
  check_failed: line('warn', 'an invoice could not be checked and is asked about again'),
  withdrawal_began: line('info', 'a withdrawal begins'),
  withdrawal_paid: line('info', 'a withdrawal was paid', ({ withdrawalId, feeMsat }) => ({ withdrawalId, feeMsat })),
  withdrawal_failed: line('info', 'a withdrawal failed, and what was held is free again'),
  withdrawal_above_limit: line('warn', 'a withdrawal cost more than its limit'),
  withdrawal_not_sent: line('warn', 'a withdrawal could not be sent yet'),
  withdrawal_unanswered: line('warn', 'the answer to a payment was lost or an error: the node is asked what it did'),
  withdrawal_not_checked: line('warn', 'a withdrawal stays held: its node could not be asked'),
  withdrawal_denied: line('warn', 'a withdrawal stays held: the node had its payment, and has no record of that: see `npm run reconcile`'),
  withdrawal_long: line('warn', 'a withdrawal is still pending, and its money held'),
  lightning_call: null,
  lightning_state: null,
  wallet_away: ({ backend }) =>
    backend === 'lnd'
      ? line('warn', 'LND is away: no invoice can be made until it is back', fewer('backend'))
      : line('warn', 'the wallet is away: no invoice can be made until it is back', fewer('backend')),
  old_wallet_away: ({ setting }) =>
    line('warn', `${setting}: the wallet of before cannot be reached, so that what is open with it is not followed`, fewer('setting')),
  lightning_silent: line('warn', 'connecting to LND afresh: it does not answer', () => ({})),
  watcher_progress: null,
  other_network: line(
    'error',
    'two gateways of different networks share this database: stop one, or book the balances away with `npm run write-off`',
  ),
  suspended: line(
    'error',
    'nothing is served: two gateways of different networks share this database; stop one, or book the balances away with `npm run write-off`',
  ),
  settlement_waits: line('warn', 'a settlement waits for the schedule'),
  subscription_lost: line('warn', 'the subscription to settlements was lost'),
  open_elsewhere: line(
    'warn',
    "another node's invoices or withdrawals are open and nobody follows them: set LND_OLD_SOCKET or NWC_OLD_URL",
  ),
  autopay_asked: line('info', "an account's own wallet is asked to top it up"),
  autopay_refused: line('info', "an account's own wallet does not say that it has paid"),
  autopay_not_begun: line('warn', 'autopay could not begin, and is tried again'),
  autopay_broken_off: line('warn', 'an attempt of autopay was broken off'),
  autopay_not_checked: line('warn', 'whether an attempt of autopay was paid cannot be told yet'),
  autopay_unread: line('warn', 'the accounts with autopay could not be read, and are read again'),
  autopay_unreadable: line('warn', "autopay's wallet connections cannot be read: their secret is not in SECRET_KEY"),
  autopay: line('info', 'an attempt of autopay has ended', ({ invoiceId, result }) => ({ invoiceId, outcome: result })),
  lnurl_request: null,
  sign_in: ({ how, result, operator, network }) => {
    if (how !== 'admin') return null;
    return result === 'ok'
      ? line('info', 'an operator signed in', () => ({ operator, network }))
      : line('warn', 'somebody tried to sign in as an operator', () => ({ network }));
  },
  operator_acted: line('info', 'an operator acted'),

  circuit_opened: line('warn', 'the circuit of a deployment opened: it is not asked until an attempt succeeds'),
  circuit_closed: line('info', 'the circuit of a deployment closed: it is asked again'),
  health_not_shared: line('warn', 'the health of deployments cannot be shared now; this gateway goes by what it sees itself'),
  price_asked: ({ result }) => (result === 'ok' ? null : line('debug', 'a price source gave no price')),
  levels: null,
  database_not_ready: line('warn', 'the database is not ready'),
  older_secret: ({ known }) =>
    known
      ? line('info', 'keys are still stored under an older secret; each is renewed when it is used', fewer('known'))
      : line('warn', 'keys are refused: the secret that they are stored under is not in SECRET_KEY', fewer('known')),
  configuration_replaced: line('info', 'the configuration was read again and is in force'),
  configuration_refused: line('warn', 'the configuration was read again and cannot be used: the former one stays in force'),
  job_failed: line('warn', 'a job failed and runs again later'),
};

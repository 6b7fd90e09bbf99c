import type { Operation } from '../server/operation.ts';

/** What stands for ids that only the reader knows, by the operation's path. */
const NAMES: readonly (readonly [prefix: string, name: string])[] = [
  ['/api/keys', '$KEY_ID'],
  ['/invoice', '$INVOICE_ID'],
  ['/v1/models', 'demo-cheap'],
];

/** Queries that must be there, with what the reader knows. */
const QUERIES: Readonly<Record<string, string>> = {
  getInvoice: '?invoiceId=$INVOICE_ID',
  getWithdrawal: '?withdrawalId=$WITHDRAWAL_ID',
};

/** A command that carries an operation out. What stands in capitals behind a dollar is the reader's to set. */
export function curlOf({ id, method, path, asker, body }: Operation, origin: string): string {
  const [, name = '$ID'] = NAMES.find(([prefix]) => path.startsWith(prefix)) ?? [];
  const url = `${origin}${path.replaceAll(/[:*]\w+/g, name)}${QUERIES[id] ?? ''}`;
  const json = body?.content['application/json']?.example;
  const parts = [
    `curl -s${method === 'get' || (method === 'post' && json !== undefined) ? '' : ` -X ${method.toUpperCase()}`} "${url}"`,
    ...(asker === 'key' || asker === 'owner' ? ['-H "Authorization: Bearer $MY_PURA_KEY"'] : []),
    ...(asker === 'operator' ? ['-H "Authorization: Bearer $ADMIN_TOKEN"'] : []),
    ...(id === 'withdraw' ? ['-H "Idempotency-Key: my-first"'] : []),
    ...(id === 'callTools' ? ['-H "Accept: application/json, text/event-stream"'] : []),
    ...(json === undefined ? [] : ['-H "Content-Type: application/json"', `-d '${JSON.stringify(json).replaceAll("'", "'\\''")}'`]),
  ];
  return parts.join(' \\\n  ');
}

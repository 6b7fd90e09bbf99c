import type { RequestHandler } from 'express';
import type { AdminToken } from '../../config/admin-tokens.ts';
import { GatewayError } from '../../errors.ts';
import { text, type Operation } from '../server/operation.ts';
import type { OperatorGuesses } from '../server/operator-guesses.ts';
import { operatorOf } from '../server/operator-token.ts';

/** What Prometheus reads. */
export interface MetricsText {
  readonly contentType: string;
  text(): Promise<string>;
}

export const METRICS_OPERATION: Operation = {
  id: 'metrics',
  method: 'get',
  path: '/metrics',
  asker: 'operator',
  tag: 'Operator',
  summary: 'What the gateway counts, for Prometheus',
  description:
    'Off unless `ADMIN_TOKEN` is set; a token of it goes into `Authorization: Bearer`. An address that has shown ten wrong ones waits.',
  answers: { 200: text('The metrics.', 'text/plain', 'pura_owed_msat 4210330000\n') },
  errors: ['invalid_api_key', 'not_found', 'rate_limit_exceeded'],
};

/** `GET /metrics`. Throws `invalid_api_key` for everybody without a token of `ADMIN_TOKEN`, and as `OperatorGuesses` does. */
export function metricsHandler(metrics: MetricsText, tokens: readonly AdminToken[], guesses: OperatorGuesses): RequestHandler {
  return async (req, res) => {
    // Who shows nothing guesses nothing.
    const name = req.headers.authorization === undefined ? null : guesses.name(req, () => operatorOf(req, tokens));
    if (name === null) throw new GatewayError('invalid_api_key', { message: 'This path is for the operator.' });
    res
      .set('Cache-Control', 'no-store')
      .type(metrics.contentType)
      .send(await metrics.text());
  };
}

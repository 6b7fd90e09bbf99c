import type { RequestHandler } from 'express';
import { z } from 'zod';
import type { ApiKeys } from '../../accounts/api-keys.ts';
import type { Pool } from '../../db/postgres.ts';
import { GatewayError } from '../../errors.ts';
import { keyNames } from '../../records/key-names.ts';
import { readReceipt, type Receipt, type ReceiptItem } from '../../records/receipt.ts';
import { btcUsdFromExchangeRate, formatUsd, picoUsd } from '../../amount.ts';
import { written } from '../api/reports.ts';
import { scopeOf } from './account-session.ts';
import type { ConsoleFrame } from './console-frame.ts';
import { OUTCOME_WORDS } from './usage.ts';

export interface ReceiptPageDeps {
  pool: Pool;
  apiKeys: Pick<ApiKeys, 'find' | 'named'>;
  recorder: { flush(): Promise<void> };
  frame: ConsoleFrame;
}

export const requestIdParams = z.object({ id: z.uuid() });

const KINDS = [
  ['input', 'Tokens in'],
  ['cacheRead', 'Tokens in, read from the cache'],
  ['cacheWrite', 'Tokens in, written to the cache'],
  ['cacheWriteLong', 'Tokens in, written to the cache for longer'],
  ['output', 'Tokens out'],
] as const;
const SETTLEMENTS: Readonly<Record<Receipt['settlement'], string>> = {
  pending: 'The charge is still being settled. This page looks again by itself.',
  settled: 'Settled.',
  released: 'What was reserved was given back: nothing was charged.',
  refunded: 'The charge was given back, for the answer did not arrive.',
  none: 'Nothing was ever reserved.',
};

/** The handler of a request's receipt: why it cost what it did, so that anybody can reckon it again. */
export function receiptHandler({ pool, apiKeys, recorder, frame }: ReceiptPageDeps): RequestHandler {
  return async (req, res) => {
    const id = requestIdParams.safeParse(req.params).data?.id;
    const scope = await scopeOf(req, apiKeys, undefined);
    await written(recorder);
    const receipt = id === undefined ? null : await readReceipt(pool, scope, id);
    if (!receipt) throw new GatewayError('not_found', { message: 'There is no such request of this account.' });
    const { request, settlement, markupBasisPoints } = receipt;
    const { picoUsdPerMsat } = request;
    const names = await keyNames(apiKeys, scope.accountId)([request.keyId]);
    const cost = picoUsd(receipt.items.reduce((total, { costPicoUsd }) => total + costPicoUsd, 0n));
    const data = {
      receipt,
      request,
      keyName: names.get(request.keyId) ?? request.keyId,
      outcome: OUTCOME_WORDS[request.outcome] ?? request.outcome,
      settled: SETTLEMENTS[settlement],
      parts: receipt.items.map(partOf),
      markup: markupBasisPoints === null ? null : `${Number(markupBasisPoints) / 100}%`,
      costUsd: formatUsd(cost),
      cappedUsd: request.costPicoUsd < cost ? formatUsd(request.costPicoUsd) : null,
      btcUsd: picoUsdPerMsat === null ? null : btcUsdFromExchangeRate(picoUsdPerMsat).toLocaleString('en-US'),
    };
    const refreshSeconds = settlement === 'pending' ? 5 : undefined;
    await frame.send(res, 'console/receipt', { title: 'Receipt', section: '/console/usage', refreshSeconds }, data);
  };
}

/** The lines of one paid answer: tokens, the price of a million, their product. */
function partOf({ model, provider, tokens, rates, costPicoUsd }: ReceiptItem) {
  const lines = KINDS.flatMap(([kind, name]) => {
    const count = tokens[kind];
    if (count === 0) return [];
    const rate = rates?.[kind] ?? null;
    return [
      {
        name,
        count,
        // Pico-USD for one are micro-USD for a million.
        perMillion: rate === null ? null : formatUsd(picoUsd(rate * 1_000_000n)),
        usd: rate === null ? null : formatUsd(picoUsd(rate * BigInt(count))),
      },
    ];
  });
  return { model, provider, reasoning: tokens.reasoning, lines, usd: formatUsd(costPicoUsd) };
}

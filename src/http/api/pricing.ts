import type { RequestHandler } from 'express';
import { divideRoundingUp, msatFromPicoUsd, picoUsd, usdNumber, type PicoUsd, type PicoUsdPerMsat } from '../../amount.ts';
import type { ApiKey } from '../../accounts/api-key.ts';
import type { Deployment } from '../../models/deployment.ts';
import type { Models } from '../../models/models.ts';
import { rateOrNull, type ExchangeRate } from '../../pricing/exchange-rate.ts';
import type { TokenRates } from '../../pricing/rate-card.ts';
import { principalOf } from '../payment/authenticate.ts';
import { modelsOfKey } from './models-of-key.ts';

export interface PricingDeps {
  models: Models;
  exchangeRate: ExchangeRate;
  markupBasisPoints: bigint;
}

/** What a token costs by its kind, in some unit. */
interface PricedRates {
  input: number;
  output: number;
  cache_read: number;
  cache_write: number;
  cache_write_long: number;
}

/** GET /v1/pricing/models: as `pricedModels` lists them to the key. */
export function pricingHandler(deps: PricingDeps): RequestHandler {
  return async (_req, res) => {
    res.json({ object: 'list', data: await pricedModels(deps, principalOf(res).key) });
  };
}

/**
 * The models that a key may use, at the prices of now, markup included. `pricing` is in USD per million tokens, `msat_per_thousand` the same
 * at the exchange rate of now, null without one. From `from_tokens` prompt tokens on, the rates of that one of `steps` hold for the whole
 * request. A model that several providers serve has a row for each.
 */
export async function pricedModels({ models, exchangeRate, markupBasisPoints }: PricingDeps, key: Pick<ApiKey, 'allowedModels'>) {
  await models.keepUp();
  const rate = rateOrNull(exchangeRate);
  const row = (id: string, deployment: Deployment) => ({
    id,
    object: 'model.pricing',
    model: deployment.model,
    provider: deployment.provider.id,
    operation: deployment.operation,
    tier: deployment.tier,
    context_window: deployment.contextWindow,
    max_output_tokens: deployment.operation === 'generate' ? deployment.maxOutputTokens : null,
    pricing: usdRates(deployment.rateCard, markupBasisPoints),
    steps: deployment.rateCard.steps.map((step) => ({ from_tokens: step.fromTokens, ...usdRates(step, markupBasisPoints) })),
    msat_per_thousand: rate && msatRates(deployment.rateCard, markupBasisPoints, rate),
    price_version: deployment.rateCard.priceVersion,
  });
  return modelsOfKey(models, key).flatMap(({ id, servings }) => servings.map(({ deployment, type }) => ({ ...row(id, deployment), type })));
}

/** What a model costs, in USD per million tokens, markup included. */
export function pricingOf({ rateCard }: Deployment, markupBasisPoints: bigint): Pick<PricedRates, 'input' | 'output' | 'cache_read'> {
  const { input, output, cache_read } = usdRates(rateCard, markupBasisPoints);
  return { input, output, cache_read };
}

function usdRates(rates: TokenRates, markupBasisPoints: bigint): PricedRates {
  return eachRate(rates, (perToken) => usdNumber(withMarkup(perToken * 1_000_000n, markupBasisPoints)));
}

function msatRates(rates: TokenRates, markupBasisPoints: bigint, picoUsdPerMsat: PicoUsdPerMsat): PricedRates {
  return eachRate(rates, (perToken) => Number(msatFromPicoUsd(withMarkup(perToken * 1_000n, markupBasisPoints), picoUsdPerMsat)));
}

function eachRate(
  { input, output, cacheRead, cacheWrite, cacheWriteLong }: TokenRates,
  priced: (perToken: PicoUsd) => number,
): PricedRates {
  return {
    input: priced(input),
    output: priced(output),
    cache_read: priced(cacheRead),
    cache_write: priced(cacheWrite),
    cache_write_long: priced(cacheWriteLong),
  };
}

function withMarkup(amount: bigint, markupBasisPoints: bigint): PicoUsd {
  return picoUsd(divideRoundingUp(amount * (10_000n + markupBasisPoints), 10_000n));
}

import type { Response } from 'express';
import type { ApiKey } from '../../accounts/api-key.ts';
import type { ApiKeys } from '../../accounts/api-keys.ts';
import { msat } from '../../amount.ts';
import type { Models } from '../../models/models.ts';
import type { ExchangeRate } from '../../pricing/exchange-rate.ts';
import { pricedModels } from '../api/pricing.ts';
import { satsExact, usd } from '../pages/format.ts';
import type { ConsoleFrame } from './console-frame.ts';
import { PLAYGROUND, type PlaygroundFields } from './playground-operations.ts';
import { playgroundKeys } from './playground-payer.ts';
import { isOwner, sessionOf } from './signed-in.ts';

export interface PlaygroundPageDeps {
  apiKeys: ApiKeys;
  frame: ConsoleFrame;
  models: Models;
  exchangeRate: ExchangeRate;
  config: { markupBasisPoints: bigint };
}

/** An answer, and the line that stands under it. */
export interface Answered {
  readonly text: string;
  readonly line: string;
  readonly requestId: string | null;
}

/** Why there is no answer. */
export interface Refused {
  readonly message: string;
  readonly code: string;
  readonly invoiceId: string | null;
  readonly status: number;
}

/** What a message would cost on one model, or why nobody can say. */
export type Price = { readonly model: string } & (
  { readonly estimatedCostMsat: number; readonly estimatedCostUsd: number; readonly maxCostMsat: number } | { readonly refusal: string }
);

/** What came of a form. */
export interface Outcome {
  readonly answer?: Answered;
  readonly refusal?: Refused;
  readonly prices?: readonly Price[];
}

interface ListedModel {
  readonly id: string;
  readonly name: string;
  /** Msat for 1,000 tokens of output; null without an exchange rate. */
  readonly output: number | null;
}

const DEMO = 'demo';
const OTHERS = 4;

/** The page of the playground. */
export class PlaygroundPage {
  readonly #deps: PlaygroundPageDeps;

  constructor(deps: PlaygroundPageDeps) {
    this.#deps = deps;
  }

  /** Answers with the page: the form as it was filled in, and what came of it. */
  async send(res: Response, asked: PlaygroundFields, outcome: Outcome = {}): Promise<void> {
    const session = sessionOf(res);
    const keys = (await playgroundKeys(this.#deps, session)).map(({ id, label, prefix, dailyBudgetPicoUsd, allowedModels }) => ({
      id,
      name: `${label ?? `${prefix}…`}: ${usd(dailyBudgetPicoUsd)} a day`,
      allowedModels,
    }));
    const usual = session.how === 'key' ? session.key.id : '';
    const chosen = keys.find(({ id }) => id === asked.key) ?? keys.find(({ id }) => id === usual);
    // An owner may choose another key, which may use other models.
    const models = await this.models(isOwner(session) ? { allowedModels: null } : session.key);
    const mayUse = (model: string) => !chosen?.allowedModels || chosen.allowedModels.includes(model);
    const model = mayUse(asked.model) ? asked.model : (models.find(({ id }) => mayUse(id))?.id ?? asked.model);
    const data = {
      ...outcome,
      asked: { ...asked, model, key: chosen?.id ?? '' },
      keys,
      models,
      elsewhere: new Set(this.elsewhere(models)),
      how: session.how,
      mayChoose: isOwner(session) || session.key.allowedModels === null,
    };
    const title = outcome.answer
      ? 'Playground: the answer'
      : outcome.prices
        ? 'Playground: the prices'
        : outcome.refusal
          ? 'Playground: no answer'
          : 'Playground';
    const page = { title, section: PLAYGROUND, script: 'playground.js', status: outcome.refusal?.status };
    await this.#deps.frame.send(res, 'console/playground', page, data);
  }

  /** The models that a key may ask, each with its prices of 1,000 tokens. */
  async models(key: Pick<ApiKey, 'allowedModels'>): Promise<ListedModel[]> {
    const { models, exchangeRate, config } = this.#deps;
    const priced = await pricedModels({ models, exchangeRate, markupBasisPoints: config.markupBasisPoints }, key);
    const listed = priced
      .filter(({ operation }) => operation === 'generate')
      .map(({ id, provider, pricing, msat_per_thousand: rates }): ListedModel => {
        const sats = rates ? `, ${satsExact(msat(BigInt(rates.input)))} / ${satsExact(msat(BigInt(rates.output)))} sats` : '';
        const demo = provider === DEMO ? ' (demo, not a real model)' : '';
        const name = `${id}${demo}: ${usd(pricing.input / 1000)} / ${usd(pricing.output / 1000)}${sats}`;
        return { id, name, output: rates?.output ?? null };
      });
    return [...new Map(listed.map((model) => [model.id, model])).values()];
  }

  /** Some of the models, from all over the list, on which the same question is priced. */
  elsewhere(models: readonly ListedModel[]): string[] {
    const step = Math.max(1, Math.floor(models.length / OTHERS));
    return models
      .filter((_, index) => index % step === 0)
      .slice(0, OTHERS)
      .map(({ id }) => id);
  }
}

import { msat } from '../../amount.ts';
import { pricedModels, type PricingDeps } from '../api/pricing.ts';
import { satsExact, tokens, UNKNOWN, usd } from '../pages/format.ts';

/** A model as the price lists of pages show it: everything as text. */
export interface PriceRow {
  readonly id: string;
  readonly provider: string;
  readonly tier: string;
  readonly isDemo: boolean;
  readonly context: string;
  /** In USD per million tokens. */
  readonly input: string;
  readonly output: string;
  readonly cached: string;
  /** For a thousand tokens in and out; a dash without an exchange rate. */
  readonly sats: string;
}

export interface PriceList {
  readonly query: string;
  readonly rows: readonly PriceRow[];
  /** All that match, also those on other pages. */
  readonly matching: number;
  readonly total: number;
  readonly page: number;
  readonly pages: number;
  readonly demoOnly: boolean;
}

export const ROWS_A_PAGE = 200;
const LONGEST_QUERY = 100;

/** Models whose name, provider or tier holds `q`, at the prices of now: one page of them, from memory. */
export async function priceList(deps: PricingDeps, asked: { q?: unknown; page?: unknown }): Promise<PriceList> {
  const query = typeof asked.q === 'string' ? asked.q.trim().slice(0, LONGEST_QUERY) : '';
  const all = await pricedModels(deps, { allowedModels: null });
  const words = query.toLowerCase().split(/\s+/);
  const found = all.filter(({ id, provider, tier }) => {
    const text = `${id} ${provider} ${tier}`.toLowerCase();
    return words.every((word) => text.includes(word));
  });
  const pages = Math.max(1, Math.ceil(found.length / ROWS_A_PAGE));
  const page = typeof asked.page === 'string' && /^[1-9]\d{0,3}$/.test(asked.page) ? Math.min(Number(asked.page), pages) : 1;
  const rows = found.slice((page - 1) * ROWS_A_PAGE, page * ROWS_A_PAGE).map((model) => ({
    id: model.id,
    provider: model.provider,
    tier: model.tier,
    isDemo: model.provider === DEMO,
    context: tokens(model.context_window),
    input: usd(model.pricing.input),
    output: model.operation === 'embed' ? UNKNOWN : usd(model.pricing.output),
    cached: model.operation === 'embed' ? UNKNOWN : usd(model.pricing.cache_read),
    sats: satsText(model),
  }));
  return {
    ...{ query, rows, page, pages },
    matching: found.length,
    total: all.length,
    demoOnly: all.every(({ provider }) => provider === DEMO),
  };
}

const DEMO = 'demo';

function satsText({ operation, msat_per_thousand: rates }: Awaited<ReturnType<typeof pricedModels>>[number]): string {
  if (!rates) return UNKNOWN;
  const [input, output] = [rates.input, rates.output].map((each) => satsExact(msat(BigInt(each))));
  return operation === 'embed' ? `${input}` : `${input} / ${output}`;
}

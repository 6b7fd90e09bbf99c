import { picoUsd } from '../../src/amount.ts';
import type { RateCard } from '../../src/pricing/rate-card.ts';
import { createDemo } from '../../src/providers/demo.ts';
import { PLAIN_DIALECT, PLAIN_TRAITS, type Target } from '../../src/wires/target.ts';
import type { Deployment } from '../../src/models/deployment.ts';

/** A rate card without steps: $1 and $2 a million tokens unless told otherwise, in pico-dollars a token. */
export function rateCard(
  rates: { input?: bigint; output?: bigint; cacheRead?: bigint; cacheWrite?: bigint; cacheWriteLong?: bigint } = {},
): RateCard {
  const { input = 1_000_000n, output = 2_000_000n } = rates;
  const { cacheRead = input, cacheWrite = input, cacheWriteLong = cacheWrite } = rates;
  const dearestInput = [input, cacheRead, cacheWrite, cacheWriteLong].reduce((a, b) => (a > b ? a : b));
  return {
    priceVersion: 1,
    input: picoUsd(input),
    output: picoUsd(output),
    cacheRead: picoUsd(cacheRead),
    cacheWrite: picoUsd(cacheWrite),
    cacheWriteLong: picoUsd(cacheWriteLong),
    dearestInput: picoUsd(dearestInput),
    dearestOutput: picoUsd(output),
    steps: [],
  };
}

/** A card with steps, from plain numbers in pico-dollars a token. */
export function cardOf(prices: Prices & { steps: ({ fromTokens: number } & Prices)[] }, priceVersion: number): RateCard {
  const rates = ({ input, output, cacheRead, cacheWrite }: Prices) => ({
    input: picoUsd(BigInt(input)),
    output: picoUsd(BigInt(output)),
    cacheRead: picoUsd(BigInt(cacheRead)),
    cacheWrite: picoUsd(BigInt(cacheWrite)),
    cacheWriteLong: picoUsd(BigInt(cacheWrite)),
  });
  const card = rateCard({ input: BigInt(prices.input), output: BigInt(prices.output) });
  const steps = prices.steps.map((step) => ({ fromTokens: step.fromTokens, ...rates(step) }));
  return { ...card, ...rates(prices), priceVersion, steps };
}

type Prices = Record<'input' | 'output' | 'cacheRead' | 'cacheWrite', number>;

/** What an upstream is told of a plain model. */
export function target(overrides: Partial<Target> = {}): Target {
  return {
    providerId: 'fake',
    model: 'upstream-model',
    maxOutputTokens: 16_384,
    takesImages: true,
    takesDocuments: false,
    takesRemoteMedia: false,
    traits: PLAIN_TRAITS,
    dialect: PLAIN_DIALECT,
    allowParameters: [],
    ...overrides,
  };
}

/** A deployment, with what its target says of media and fields by short names. */
type Described = Partial<Deployment> & { remoteImages?: boolean; allowParameters?: readonly string[] };

/** A deployment to quote, route and serialise for. Its provider is a demo under the id `fake`. */
export function deployment({ remoteImages: takesRemoteMedia = false, allowParameters = [], ...overrides }: Described = {}): Deployment {
  const { maxOutputTokens = 16_384, imageTokens = 1_000 } = overrides;
  return {
    id: `${overrides.provider?.id ?? 'fake'}/${overrides.model ?? 'pureai/fake'}`,
    model: 'pureai/fake',
    provider: { ...createDemo(), id: 'fake' },
    operation: 'generate',
    wires: ['openai-chat'],
    target: target({ maxOutputTokens, takesImages: imageTokens !== null, takesRemoteMedia, allowParameters }),
    tokenFactor: 1,
    documentTokens: null,
    rateCard: rateCard(),
    pricedAs: 'pureai/fake',
    tier: 'cheap',
    contextWindow: 128_000,
    maxOutputTokens: 16_384,
    tokenizer: 'bytes',
    imageTokens: 1_000,
    tokensPerSecond: 50,
    created: 0,
    ...overrides,
  };
}

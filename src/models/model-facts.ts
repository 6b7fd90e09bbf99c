import type { Dialect, ModelTraits } from '../wires/target.ts';
import type { Tokenizer } from '../wires/tokens.ts';
import type { Operation, WireName } from '../wires/wire.ts';

/** What the price catalogue does not tell of a model. */
export interface ModelFacts {
  readonly operation: Operation;
  /** Those that it can be called in, preferred first. */
  readonly wires: readonly WireName[];
  /** Where the catalogue knows none. */
  readonly contextWindow: number;
  /** 0 where it writes nothing. */
  readonly maxOutputTokens: number;
  readonly tokenizer: Tokenizer;
  /** How many times as many tokens as `tokenizer` the model's own may count: for bounds alone. */
  readonly tokenFactor: number;
  /** The most prompt tokens that one image can be; null where the model takes none. */
  readonly imageTokens: number | null;
  readonly takesDocuments: boolean;
  readonly takesRemoteMedia: boolean;
  readonly tokensPerSecond: number;
  readonly traits: Partial<ModelTraits>;
  readonly dialect: Partial<Dialect>;
}

/** The models of one public provider. */
export interface ModelTable {
  /** Those that are listed and that `auto` chooses from, where they have a price. */
  readonly listed: readonly string[];
  /** What is known of a model by its id; cautious where it is of no known family, null where the gateway cannot serve it. */
  factsOf(model: string): ModelFacts | null;
}

/** By the beginning of the id; the first match wins. */
export type Families = readonly (readonly [prefix: RegExp, facts: Partial<ModelFacts>])[];

/** A table of families over what all models of a provider have in common. `other` are ids that cannot be served. */
export function modelTable(
  common: ModelFacts,
  families: Families,
  { listed, other }: { listed: readonly string[]; other: RegExp },
): ModelTable {
  return {
    listed,
    factsOf(model) {
      if (other.test(model)) return null;
      const family = families.find(([prefix]) => prefix.test(model))?.[1];
      return { ...common, ...family, dialect: { ...common.dialect, ...family?.dialect }, traits: { ...common.traits, ...family?.traits } };
    },
  };
}

/** A model that answers in words, of which nothing else is known. */
export const ANSWERING: ModelFacts = {
  operation: 'generate',
  wires: ['openai-chat'],
  contextWindow: 128_000,
  maxOutputTokens: 8_192,
  tokenizer: 'o200k_base',
  tokenFactor: 1.5,
  imageTokens: null,
  takesDocuments: false,
  takesRemoteMedia: false,
  tokensPerSecond: 80,
  traits: {},
  dialect: {},
};

/** A model that embeds. */
export function embedding(wire: WireName, contextWindow: number): Partial<ModelFacts> {
  return { operation: 'embed', wires: [wire], contextWindow, maxOutputTokens: 0, imageTokens: null, takesDocuments: false };
}

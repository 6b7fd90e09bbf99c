import type { RateCard } from '../pricing/rate-card.ts';
import type { Provider, Tier } from '../providers/provider.ts';
import type { Target } from '../wires/target.ts';
import type { Tokenizer } from '../wires/tokens.ts';
import type { Operation, WireName } from '../wires/wire.ts';

/** 2025-01-01: the day that models claim to be of. */
export const CREATED = 1_735_689_600;

/** One model at one provider, with all that is needed to route, quote and call it. */
export interface Deployment {
  /** Unique: `openai/gpt-4o-mini`, `pureai/gemma-3-4b-it`, `demo/demo-cheap`. Health, limits and warm caches go by it. */
  readonly id: string;
  /** The id clients use, e.g. `gpt-4o-mini`, `pureai/gemma-3-4b-it`, `demo-cheap`. */
  readonly model: string;
  readonly provider: Provider;
  readonly operation: Operation;
  /** Those that it can be called in, preferred first: a client's own wire is better still, where it is among them. */
  readonly wires: readonly WireName[];
  /** What the upstream of a wire must know of it. */
  readonly target: Target;
  readonly rateCard: RateCard;
  /** The name of the card among its version's prices, for the record. */
  readonly pricedAs: string;
  readonly tier: Tier;
  readonly contextWindow: number;
  readonly maxOutputTokens: number;
  /** Whether the hold counts the prompt with OpenAI's tokenizer or by bytes. */
  readonly tokenizer: Tokenizer;
  /** Multiplies what `tokenizer` counts, for families whose own tokenizer counts more. For bounds alone. */
  readonly tokenFactor: number;
  /** Images, files and audio are refused where the most they can cost is unknown. */
  readonly imageTokens: number | null;
  /**
   * The most that all documents of a request together can be counted as, whatever their size: a small file may unfold to any number of
   * pages, so only the window bounds them. Null where none are taken.
   */
  readonly documentTokens: number | null;
  /** Usual output speed, for billing hidden reasoning of a request whose client left. */
  readonly tokensPerSecond: number;
  /** Unix seconds, as in `/v1/models`. */
  readonly created: number;
  /** The operator's; none where left out. */
  readonly limits?: DeploymentLimits;
}

/** What the operator lets one gateway ask of a deployment; null: no limit. */
export interface DeploymentLimits {
  readonly concurrentRequests: number | null;
  readonly requestsPerMinute: number | null;
}

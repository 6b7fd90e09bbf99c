import type { Tokenizer } from '../wires/tokens.ts';
import { ANSWERING, embedding, type ModelFacts, type ModelTable } from './model-facts.ts';

interface OpenAiModel {
  readonly maxOutputTokens: number;
  readonly tokenizer: Tokenizer;
  /** The most prompt tokens that one image can be; null where the model takes none. */
  readonly imageTokens: number | null;
  readonly tokensPerSecond: number;
}

/**
 * The models that are listed and that `auto` chooses from, cheapest generation last. Any other chat model of the
 * catalogue answers to its exact id.
 */
const LISTED = [
  'gpt-6-sol',
  'gpt-6-luna',
  'gpt-6-astra',
  'gpt-5.6-sol',
  'gpt-5.6-terra',
  'gpt-5.6-luna',
  'gpt-5.5',
  'gpt-5.4',
  'gpt-5.4-mini',
  'gpt-5.4-nano',
  'gpt-5.2',
  'gpt-5.1',
  'gpt-5',
  'gpt-5-mini',
  'gpt-5-nano',
  'gpt-4.1',
  'gpt-4.1-mini',
  'gpt-4.1-nano',
  'gpt-4o',
  'gpt-4o-mini',
  'o3',
  'o3-mini',
  'o4-mini',
  'text-embedding-3-large',
  'text-embedding-3-small',
] as const;

const CHAT_ID = /^(gpt-|chatgpt-|codex-|o[134](-|$))[a-z0-9.-]*$/;
/** Not chat completions, priced by more than tokens, or not served by OpenAI itself. */
const OTHER_KIND = /audio|realtime|transcribe|tts|image|search|deep-research|oss|computer-use|moderation/;
const EMBEDDING_ID = /^text-embedding-[a-z0-9.-]+$/;
const LEGACY_ID = /^(gpt-3\.5-turbo-instruct|davinci|babbage)[a-z0-9.-]*$/;
/** Models that the chat wire does not reach. */
const RESPONSES_ONLY = /-pro(-|$)|codex/;

const LARGE_IMAGE_DETAIL = 10_000;

/**
 * By the beginning of the id, first match wins (https://platform.openai.com/docs/models). Image tokens are those of the
 * largest picture at the highest detail (https://platform.openai.com/docs/guides/images-vision): tiles of 512 pixels
 * (at most 8) or patches of 32 (at most 1,536, or 10,000 from GPT-5.4 on), times the model's factor.
 */
const FAMILIES: readonly (readonly [prefix: RegExp, model: OpenAiModel])[] = [
  [/^gpt-(6|5\.[4-9])(-\w+)*-(nano|luna)/, chat(128_000, LARGE_IMAGE_DETAIL * 2.46, 150)],
  [/^gpt-(6|5\.[4-9])(-\w+)*-mini/, chat(128_000, LARGE_IMAGE_DETAIL * 1.62, 120)],
  [/^gpt-(6|5\.[4-9])/, chat(128_000, LARGE_IMAGE_DETAIL * 1.2, 80)],
  [/^gpt-5(\.\d)?-chat/, chat(16_384, 1_190, 100)],
  [/^gpt-5-nano/, chat(128_000, 3_779, 150)],
  [/^gpt-5-mini/, chat(128_000, 2_489, 120)],
  [/^gpt-5/, chat(128_000, 1_190, 80)],
  [/^gpt-4\.1-nano/, chat(32_768, 3_779, 150)],
  [/^gpt-4\.1-mini/, chat(32_768, 2_489, 120)],
  [/^gpt-4\.1/, chat(32_768, 1_445, 80)],
  [/^gpt-4\.5/, chat(16_384, 1_445, 40)],
  [/^gpt-4o-mini/, chat(16_384, 48_169, 100)],
  [/^gpt-4o-2024-05-13/, chat(4_096, 1_445, 80)],
  [/^(gpt-4o|chatgpt-4o)/, chat(16_384, 1_445, 80)],
  [/^gpt-4-(turbo|vision)/, older(4_096, 1_445)],
  [/^gpt-4-32k/, older(32_768, null)],
  [/^gpt-4/, older(8_192, null)],
  [/^gpt-3/, older(4_096, null)],
  [/^o1-mini/, chat(65_536, null, 120)],
  [/^o1-preview/, chat(32_768, null, 80)],
  [/^o3-mini/, chat(100_000, null, 120)],
  [/^o4-mini/, chat(100_000, 2_642, 120)],
  [/^o[134]/, chat(100_000, 1_275, 80)],
];

/** Efforts by family, and whether its models reason unless told not to: then they refuse to have their sampling set. */
const REASONING: readonly (readonly [prefix: RegExp, traits: ModelFacts['traits']])[] = [
  [/^gpt-5(\.\d)?-chat|^o1-(mini|preview)/, {}],
  [
    /^gpt-6(\.\d)?-astra|^gpt-6\.1-sol/,
    reasoning(['low', 'medium', 'high', 'xhigh', 'max'], { thinksAlways: true, toolsNeedResponses: true }),
  ],
  [/^gpt-(6|5\.[6-9])/, reasoning(['none', 'low', 'medium', 'high', 'xhigh', 'max'], { toolsNeedResponses: true })],
  [/^gpt-5\.[45]/, reasoning(['none', 'low', 'medium', 'high', 'xhigh'], { sampling: 'free', toolsNeedResponses: true })],
  [/^gpt-5\.[1-3]/, reasoning(['none', 'low', 'medium', 'high', 'xhigh'], { sampling: 'free' })],
  [/^gpt-5/, reasoning(['minimal', 'low', 'medium', 'high'], { thinksAlways: true })],
  [/^(o[134]|codex)/, reasoning(['low', 'medium', 'high'], { thinksAlways: true })],
  [/^gpt-(3|4(-|$))/, { takesSchema: false }],
];

function reasoning(efforts: readonly string[], more: ModelFacts['traits']): ModelFacts['traits'] {
  return { sampling: 'refused', reasoning: 'effort', efforts, ...more };
}

const COMMON = { ...ANSWERING, tokenFactor: 1, dialect: { capField: 'max_completion_tokens', stores: true } } as const;

/** OpenAI's models: chat models, those that only Responses reaches, the legacy ones, and those that embed. */
export const OPENAI_MODELS: ModelTable = {
  listed: LISTED,
  factsOf(model) {
    if (OTHER_KIND.test(model)) return null;
    if (EMBEDDING_ID.test(model)) return { ...COMMON, tokenizer: 'cl100k_base', ...embedding('openai-embeddings', 8_192) };
    if (LEGACY_ID.test(model))
      return { ...COMMON, ...older(4_096, null), wires: ['openai-completions'], contextWindow: 4_096, dialect: {} };
    return CHAT_ID.test(model) ? chatFacts(model) : null;
  },
};

function chatFacts(model: string): ModelFacts {
  const known = FAMILIES.find(([prefix]) => prefix.test(model))?.[1] ?? chat(128_000, null, 80);
  const traits = REASONING.find(([prefix]) => prefix.test(model))?.[1] ?? {};
  // o1-mini knows neither role; o3 and o4-mini cannot be stopped by a word.
  const dialect = { developerRole: !/^o1-(mini|preview)/.test(model), ...(/^(o3|o4-mini)/.test(model) && { refuses: ['stop'] }) };
  return {
    ...COMMON,
    ...known,
    wires: RESPONSES_ONLY.test(model) ? ['openai-responses'] : ['openai-chat', 'openai-responses'],
    takesDocuments: known.imageTokens !== null && known.tokenizer === 'o200k_base',
    takesRemoteMedia: known.imageTokens !== null,
    traits,
    dialect: { ...COMMON.dialect, ...dialect },
  };
}

function chat(maxOutputTokens: number, imageTokens: number | null, tokensPerSecond: number): OpenAiModel {
  return { maxOutputTokens, tokenizer: 'o200k_base', imageTokens: imageTokens && Math.ceil(imageTokens), tokensPerSecond };
}

function older(maxOutputTokens: number, imageTokens: number | null): OpenAiModel {
  return { maxOutputTokens, tokenizer: 'cl100k_base', imageTokens, tokensPerSecond: 40 };
}

import type { Deployment } from './deployment.ts';

/** What the price catalogue does not tell of an OpenAI model. */
export interface OpenAiModel {
  readonly maxOutputTokens: number;
  readonly tokenizer: Deployment['tokenizer'];
  /** The most prompt tokens that one image can be; null where the model takes none. */
  readonly imageTokens: number | null;
  readonly tokensPerSecond: number;
}

/**
 * The models that are listed and that `auto` chooses from, cheapest generation last. Any other chat model of the
 * catalogue answers to its exact id.
 */
export const OPENAI_LISTED = [
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
] as const;

/** Ids that `find` makes a deployment of on demand, where the catalogue prices them. */
const CHAT_ID = /^(gpt-|chatgpt-|o[134](-|$))[a-z0-9.-]*$/;
/** Not chat completions, priced by more than tokens, or not served by OpenAI itself. */
const OTHER_KIND =
  /audio|realtime|transcribe|tts|image|instruct|search|deep-research|codex|oss|-pro(-|$)|computer-use|embedding|moderation/;

/** Whether an id is that of an OpenAI chat model which is billed by its tokens alone. */
export function isOpenAiChatModel(model: string): boolean {
  return CHAT_ID.test(model) && !OTHER_KIND.test(model);
}

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

/** What is known of an OpenAI chat model besides its price; cautious where the id is of no known family. */
export function openAiModel(model: string): OpenAiModel {
  return FAMILIES.find(([prefix]) => prefix.test(model))?.[1] ?? chat(128_000, null, 80);
}

function chat(maxOutputTokens: number, imageTokens: number | null, tokensPerSecond: number): OpenAiModel {
  return { maxOutputTokens, tokenizer: 'o200k_base', imageTokens: imageTokens && Math.ceil(imageTokens), tokensPerSecond };
}

function older(maxOutputTokens: number, imageTokens: number | null): OpenAiModel {
  return { maxOutputTokens, tokenizer: 'cl100k_base', imageTokens, tokensPerSecond: 40 };
}

import { ANSWERING, modelTable, type ModelFacts } from './model-facts.ts';

/** The models of the public providers that speak OpenAI's chat wire without being OpenAI. None of them tells its tokenizer. */
const COMPATIBLE: ModelFacts = { ...ANSWERING, dialect: { developerRole: false, manyCompletions: false } };

const GPT_OSS: Partial<ModelFacts> = {
  maxOutputTokens: 65_536,
  tokenFactor: 1.1,
  traits: { reasoning: 'effort', efforts: ['low', 'medium', 'high'], thinksAlways: true },
};

/** Groq (https://console.groq.com/docs/models, …/openai). */
export const GROQ_MODELS = modelTable(
  {
    ...COMPATIBLE,
    contextWindow: 131_072,
    tokensPerSecond: 500,
    dialect: {
      ...COMPATIBLE.dialect,
      capField: 'max_completion_tokens',
      drops: ['presence_penalty', 'frequency_penalty'],
      refuses: ['logprobs', 'top_logprobs', 'logit_bias'],
      takes: ['reasoning_format', 'include_reasoning'],
    },
  },
  [
    [/^openai\/gpt-oss/, GPT_OSS],
    [/^qwen\//, { maxOutputTokens: 40_960, traits: { reasoning: 'effort', efforts: ['none', 'default'] } }],
    [/^meta-llama\/llama-4/, { imageTokens: 6_500, takesRemoteMedia: true }],
    [/^moonshotai\//, { maxOutputTokens: 16_384 }],
    [/^llama-3\.1-8b/, { maxOutputTokens: 131_072, traits: { takesSchema: false } }],
    [/^llama-3/, { maxOutputTokens: 32_768, traits: { takesSchema: false } }],
    [/^(llama|mixtral|gemma)/, { maxOutputTokens: 8_192, traits: { takesSchema: false } }],
  ],
  {
    listed: ['llama-3.3-70b-versatile', 'llama-3.1-8b-instant', 'openai/gpt-oss-120b', 'openai/gpt-oss-20b', 'qwen/qwen3-32b'],
    other: /whisper|tts|guard/,
  },
);

/** DeepSeek (https://api-docs.deepseek.com). Thinking is on unless `thinking` turns it off. */
export const DEEPSEEK_MODELS = modelTable(
  {
    ...COMPATIBLE,
    contextWindow: 1_000_000,
    maxOutputTokens: 384_000,
    tokensPerSecond: 60,
    traits: { reasoning: 'effort', efforts: ['low', 'high', 'max'] },
    dialect: { ...COMPATIBLE.dialect, refuses: ['logit_bias'], takes: ['thinking'] },
  },
  [
    [/^deepseek-chat/, { contextWindow: 128_000, maxOutputTokens: 8_192, traits: { reasoning: 'none', takesSchema: false } }],
    [/^deepseek-reasoner/, { contextWindow: 128_000, maxOutputTokens: 65_536, traits: { thinksAlways: true, takesSchema: false } }],
    [/^deepseek-v3/, { contextWindow: 128_000, maxOutputTokens: 8_192, traits: { reasoning: 'toggle', takesSchema: false } }],
  ],
  { listed: ['deepseek-flash', 'deepseek-v4-pro', 'deepseek-v4-flash'], other: /^$/ },
);

/** From K2.5 on the sampling is fixed, and only `data:` images are taken: 16,384 patches, four to a token, at most. */
const KIMI: Partial<ModelFacts> = {
  contextWindow: 262_144,
  maxOutputTokens: 65_536,
  imageTokens: 5_000,
  traits: { sampling: 'refused', reasoning: 'toggle', forcesTools: false },
};

/** Moonshot (https://platform.kimi.ai/docs). */
export const MOONSHOT_MODELS = modelTable(
  {
    ...COMPATIBLE,
    contextWindow: 131_072,
    maxOutputTokens: 16_384,
    traits: { forcesTools: false },
    dialect: {
      ...COMPATIBLE.dialect,
      capField: 'max_completion_tokens',
      refuses: ['logprobs', 'top_logprobs', 'logit_bias'],
      takes: ['thinking'],
    },
  },
  [
    [
      /^kimi-k3/,
      {
        ...KIMI,
        contextWindow: 1_048_576,
        maxOutputTokens: 131_072,
        traits: { sampling: 'refused', reasoning: 'effort', efforts: ['low', 'high', 'max'], thinksAlways: true },
        dialect: { drops: ['presence_penalty', 'frequency_penalty'] },
      },
    ],
    [/^kimi-k2\.\d/, { ...KIMI, dialect: { drops: ['presence_penalty', 'frequency_penalty'] } }],
    [/^kimi-k2-thinking/, { ...KIMI, imageTokens: null, traits: { thinksAlways: true, forcesTools: false } }],
    [/^kimi/, { contextWindow: 262_144, maxOutputTokens: 32_768 }],
    [/^moonshot-v1-8k/, { contextWindow: 8_192, maxOutputTokens: 4_096 }],
    [/^moonshot-v1-32k/, { contextWindow: 32_768, maxOutputTokens: 16_384 }],
    [/^moonshot-v1-128k/, { maxOutputTokens: 65_536 }],
  ],
  { listed: ['kimi-k3', 'kimi-k3.1-pro', 'kimi-k2.6', 'kimi-k2.5'], other: /^$/ },
);

import { ANSWERING, modelTable, type ModelFacts } from './model-facts.ts';

const EFFORTS = ['low', 'medium', 'high', 'max'];
const FINER_EFFORTS = ['low', 'medium', 'high', 'xhigh', 'max'];

/** A picture of the largest size that is not made smaller: about 1.15 megapixels of old, 3.75 from Opus 4.7 on. */
const IMAGE = 1_640;
const FINER_IMAGE = 5_000;

/** From Opus 4.7 on: a tokenizer that counts more, no sampling, thinking by effort. */
const NEWER: Partial<ModelFacts> = {
  contextWindow: 1_000_000,
  maxOutputTokens: 128_000,
  tokenFactor: 2,
  imageTokens: FINER_IMAGE,
  traits: { sampling: 'refused', reasoning: 'effort', efforts: FINER_EFFORTS, takesPrefill: false },
};

/** The generation that always thinks and cannot be made to call a tool. */
const ALWAYS_THINKING: Partial<ModelFacts> = {
  ...NEWER,
  traits: { ...NEWER.traits, forcesTools: false, thinksAlways: true, takesInlineSystem: true },
};

const BUDGET: Partial<ModelFacts> = { traits: { reasoning: 'budget' } };
const OLDEST: Partial<ModelFacts> = { maxOutputTokens: 4_096, traits: { takesSchema: false } };

/** Claude, by family (https://docs.claude.com/en/docs/about-claude/models). */
export const ANTHROPIC_MODELS = modelTable(
  {
    ...ANSWERING,
    wires: ['anthropic-messages'],
    contextWindow: 200_000,
    maxOutputTokens: 64_000,
    tokenFactor: 1.6,
    imageTokens: IMAGE,
    takesDocuments: true,
    takesRemoteMedia: true,
    tokensPerSecond: 70,
    traits: { takesInlineSystem: false },
    dialect: { manyCompletions: false },
  },
  [
    [/^claude-(fable|mythos)-/, { ...ALWAYS_THINKING, tokensPerSecond: 50 }],
    [/^claude-(opus|sonnet)-5-5/, ALWAYS_THINKING],
    [/^claude-haiku-5/, { ...NEWER, tokensPerSecond: 150, traits: { ...NEWER.traits, takesInlineSystem: true } }],
    [/^claude-(opus|sonnet)-5/, NEWER],
    [/^claude-opus-4-[7-9]/, NEWER],
    [
      /^claude-(opus|sonnet)-4-6/,
      { contextWindow: 1_000_000, traits: { sampling: 'one', reasoning: 'effort', efforts: EFFORTS, takesPrefill: false } },
    ],
    [/^claude-opus-4-5/, { traits: { sampling: 'one', reasoning: 'effort', efforts: ['low', 'medium', 'high'] } }],
    [/^claude-(sonnet|haiku)-4-5/, { traits: { sampling: 'one', reasoning: 'budget' } }],
    [/^claude-opus-4/, { ...BUDGET, maxOutputTokens: 32_000, traits: { sampling: 'one', reasoning: 'budget', takesSchema: false } }],
    [/^claude-(sonnet-4|3-7)/, { ...BUDGET, traits: { reasoning: 'budget', takesSchema: false } }],
    [/^claude-3-5/, { ...OLDEST, maxOutputTokens: 8_192 }],
    [/^claude-3/, { ...OLDEST, takesDocuments: false }],
    [/^claude-(2|instant)/, { ...OLDEST, imageTokens: null, takesDocuments: false }],
    // A newer one than is known here.
    [/^claude-/, NEWER],
  ],
  {
    listed: [
      'claude-fable-5-1',
      'claude-opus-5-5',
      'claude-sonnet-5-5',
      'claude-haiku-5-5',
      'claude-opus-5',
      'claude-sonnet-5',
      'claude-opus-4-5',
      'claude-sonnet-4-5',
      'claude-haiku-4-5',
    ],
    other: /^claude-(v1|1)/,
  },
);

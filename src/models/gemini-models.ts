import { ANSWERING, embedding, modelTable, type ModelFacts } from './model-facts.ts';

/** Up to 25 tiles of 258 tokens until 2.5; 2,240 at the highest resolution from 3 on. */
const TILED_IMAGE = 25 * 258;
const IMAGE = 2_400;

const BY_LEVEL: Partial<ModelFacts> = {
  imageTokens: IMAGE,
  takesRemoteMedia: true,
  traits: { reasoning: 'effort', efforts: ['low', 'medium', 'high'], takesInlineSystem: false, takesPrefill: false },
};
const BY_BUDGET: Partial<ModelFacts> = { traits: { reasoning: 'budget' } };

/** Gemini, by family (https://ai.google.dev/gemini-api/docs/models). */
export const GEMINI_MODELS = modelTable(
  {
    ...ANSWERING,
    wires: ['gemini-generate'],
    contextWindow: 1_048_576,
    maxOutputTokens: 65_536,
    imageTokens: TILED_IMAGE,
    takesDocuments: true,
    tokensPerSecond: 150,
    traits: { takesInlineSystem: false, takesPrefill: false },
  },
  [
    [/^gemini-embedding-2/, embedding('gemini-embed', 8_192)],
    [/^gemini-embedding/, embedding('gemini-embed', 2_048)],
    [/^gemini-([3-9](\.\d)?)-(pro|argon)/, { ...BY_LEVEL, tokensPerSecond: 100, traits: { ...BY_LEVEL.traits, thinksAlways: true } }],
    [/^gemini-[3-9]/, BY_LEVEL],
    [/^gemini-2\.5-pro/, { ...BY_BUDGET, tokensPerSecond: 100, traits: { reasoning: 'budget', thinksAlways: true } }],
    [/^gemini-2\.5/, BY_BUDGET],
    [/^gemini-(2\.0|1)/, { maxOutputTokens: 8_192 }],
  ],
  {
    listed: [
      'gemini-4-argon',
      'gemini-4-carbon',
      'gemini-3.1-pro-preview',
      'gemini-3.8-flash',
      'gemini-3.6-flash',
      'gemini-3.5-flash-lite',
      'gemini-3.1-flash-lite',
      'gemini-2.5-pro',
      'gemini-2.5-flash',
      'gemini-2.5-flash-lite',
      'gemini-embedding-001',
      'gemini-embedding-2',
    ],
    // Pictures, speech and live sessions, priced by more than text.
    other: /image|tts|live|omni|audio|vision|robotics|computer/,
  },
);

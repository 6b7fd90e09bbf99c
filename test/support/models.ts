import type { ModelIndex } from '../../src/models/models.ts';

export const NO_MODELS: ModelIndex = { list: () => [], names: () => [], find: () => undefined, serving: () => [] };

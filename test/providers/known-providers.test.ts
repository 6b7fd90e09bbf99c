import { describe, expect, it } from '@jest/globals';
import type { PublicProvider } from '../../src/config/public-providers.ts';
import { baseUrlOf, KNOWN_PROVIDERS, publicProviderOf } from '../../src/providers/known-providers.ts';

describe('a public provider', () => {
  it.each<[PublicProvider, string | undefined, string]>([
    ['openai', undefined, 'https://api.openai.com/v1'],
    ['openai', 'http://h/x?v=1', 'http://h/x?v=1'],
    ['anthropic', undefined, 'https://api.anthropic.com/v1'],
    ['anthropic', 'https://h', 'https://h/v1'],
    ['anthropic', 'https://h/v1/', 'https://h/v1'],
    ['anthropic', 'https://h/proxy?a=b', 'https://h/proxy/v1?a=b'],
    ['gemini', 'https://h', 'https://h/v1beta'],
    ['gemini', 'https://h/v1alpha', 'https://h/v1alpha'],
    ['groq', 'https://api.groq.com', 'https://api.groq.com/openai/v1'],
    ['groq', 'https://api.groq.com/openai/v1', 'https://api.groq.com/openai/v1'],
    ['deepseek', 'https://api.deepseek.com/v1', 'https://api.deepseek.com/v1'],
  ])('%s is reached at %s as %s', (id, given, url) => {
    expect(baseUrlOf(KNOWN_PROVIDERS[id], given).replace(/\/$/, '')).toBe(url);
  });

  it.each([
    ['gpt-9', 'openai'],
    ['o3-mini', 'openai'],
    ['o2', undefined],
    ['chatgpt-4o-latest', 'openai'],
    ['text-embedding-3-small', 'openai'],
    ['claude-x', 'anthropic'],
    ['llama-9', 'groq'],
    ['mixtral-8x7b', 'groq'],
    ['gemma2-9b-it', 'groq'],
    ['openai/gpt-oss-120b', 'groq'],
    ['moonshotai/kimi-k2-instruct', 'groq'],
    ['gemini-3-flash', 'gemini'],
    ['deepseek-chat', 'deepseek'],
    ['moonshot-v1-8k', 'moonshot'],
    ['kimi-k3', 'moonshot'],
    ['pureai/gpt-4o', undefined],
    ['../claude', undefined],
    ['mistral-large', undefined],
    ['', undefined],
  ])('whose model %j is: %s', (model, provider) => {
    expect(publicProviderOf(model)).toBe(provider);
  });
});

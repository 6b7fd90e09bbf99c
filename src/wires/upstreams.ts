import { anthropicMessagesUpstream } from './anthropic-messages/upstream.ts';
import { openAiChatUpstream } from './openai-chat/upstream.ts';
import { openAiCompletionsUpstream } from './openai-completions/upstream.ts';
import { openAiEmbeddingsUpstream } from './openai-embeddings/upstream.ts';
import { geminiEmbedUpstream } from './gemini-embed/upstream.ts';
import { geminiGenerateUpstream } from './gemini-generate/upstream.ts';
import { openAiResponsesUpstream } from './openai-responses/upstream.ts';
import type { Upstream, WireName } from './wire.ts';

/** Every wire that a provider can be spoken to in. */
export const UPSTREAMS: Readonly<Partial<Record<WireName, Upstream>>> = {
  'openai-chat': openAiChatUpstream,
  'openai-completions': openAiCompletionsUpstream,
  'openai-embeddings': openAiEmbeddingsUpstream,
  'anthropic-messages': anthropicMessagesUpstream,
  'gemini-generate': geminiGenerateUpstream,
  'gemini-embed': geminiEmbedUpstream,
  'openai-responses': openAiResponsesUpstream,
};

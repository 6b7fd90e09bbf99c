import { asksForLongCache } from '../long-cache.ts';
import { once } from '../once.ts';
import type { InferenceRequest } from '../request.ts';
import type { Target } from '../target.ts';
import type { Rendering, Upstream } from '../wire.ts';
import { readMessage } from './answer.ts';
import { obstacleTo } from './obstacle.ts';
import { MessagesPartReader } from './parts.ts';
import { hiddenText } from './hidden-text.ts';
import { MessagesReader } from './reader.ts';
import { renderGeneration } from './render.ts';
import { renderVerbatim } from './verbatim.ts';

/** Providers that speak Anthropic's Messages API: https://docs.anthropic.com/en/api/messages. */
export const anthropicMessagesUpstream: Upstream = {
  wire: 'anthropic-messages',
  operation: 'generate',
  obstacle: obstacleTo,
  render,
  read: readMessage,
  reader: () => new MessagesReader(),
  parts: () => new MessagesPartReader(),
};

function render(request: InferenceRequest, target: Target): Rendering {
  const isOwn = request.wire === 'anthropic-messages';
  const { fields, ignored, headers, atCap, withoutMedia } = isOwn ? renderVerbatim(request, target) : renderGeneration(request, target);
  const text = once(() => JSON.stringify(withoutMedia()));
  const namesUser = isOwn ? request.own['metadata'] !== undefined : request.generation().namesUser;
  return {
    path: '/messages',
    headers,
    ignored,
    get cachesLong() {
      return asksForLongCache(fields, text());
    },
    promptText: () => text() + hiddenText(fields),
    body(outputTokens, accountHash) {
      const decided = {
        model: target.model,
        max_tokens: Math.min(outputTokens, target.maxOutputTokens),
        ...(request.stream && { stream: true }),
        // Other tiers have other prices.
        ...(!target.dialect.drops.includes('service_tier') && { service_tier: 'standard_only' }),
        ...(namesUser && { metadata: { user_id: accountHash } }),
      };
      return Buffer.from(JSON.stringify({ ...fields, ...decided, ...atCap(decided.max_tokens) }));
    },
  };
}

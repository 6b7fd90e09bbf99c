import type { Deployment } from '../../src/models/deployment.ts';
import { candidateOf, type Candidate } from '../../src/routing/candidate.ts';
import { openAiChatUpstream } from '../../src/wires/openai-chat/upstream.ts';
import { parseChatRequest } from '../../src/wires/openai-chat/request.ts';
import { parseBody } from '../../src/wires/parse-json.ts';
import type { InferenceRequest, ParseOptions } from '../../src/wires/request.ts';

/** A chat request read from its bytes, as the gateway reads it. */
export function readChat(body: Buffer | string, options: Partial<ParseOptions> = {}): InferenceRequest {
  return parseChatRequest(parseBody(Buffer.from(body)), { streamDefault: false, ...options });
}

/** The request as a deployment that speaks the chat wire will hear it. */
export function chatCandidate(request: InferenceRequest, deployment: Deployment): Candidate {
  return candidateOf(request, deployment, openAiChatUpstream);
}

/** The bytes that go upstream. */
export function chatBodyFor(request: InferenceRequest, deployment: Deployment, outputTokens: number, accountHash: string): Buffer {
  return chatCandidate(request, deployment).rendering.body(outputTokens, accountHash);
}

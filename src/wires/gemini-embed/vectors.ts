import { failureOf } from '../gemini-generate/response.ts';
import { usageFromWire } from '../gemini-generate/usage.ts';
import { member, objectsIn } from '../json-object.ts';
import type { InferenceRequest } from '../request.ts';
import type { ReportedUsage } from '../usage.ts';
import type { AnswerRead } from '../wire.ts';

/** Reads the answer of batchEmbedContents. It is one where every input has its vector: a vector in another's place would be a wrong one. */
export function readVectors(body: unknown, request?: InferenceRequest): AnswerRead {
  const vectors = objectsIn(member(body, 'embeddings')).map(({ values }) => values);
  const wanted = request?.embedding().inputs.length ?? vectors.length;
  const isAnswer = vectors.length > 0 && vectors.length === wanted && vectors.every(isVector);
  const usage = usageOf(body);
  return {
    failure: failureOf(body),
    isAnswer,
    usage,
    written: () => ({ texts: [], binaryCharacters: 0 }),
    answer: () => ({ completions: [], usage, embeddings: isAnswer ? (vectors as number[][]) : [] }),
  };
}

function isVector(values: unknown): boolean {
  return Array.isArray(values) && values.length > 0 && values.every(Number.isFinite);
}

/** Most models tell no figures; nothing is generated in any case. */
function usageOf(body: unknown): ReportedUsage | null {
  const usage = usageFromWire(member(body, 'usageMetadata'));
  return usage && { ...usage, output: 0, reasoning: 0 };
}

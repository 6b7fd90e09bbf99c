import type { Candidate } from '../routing/candidate.ts';
import { answerOfParts } from '../wires/answer-of-parts.ts';
import type { Answer, StreamPart } from '../wires/answer.ts';
import type { PartReader, StreamReader } from '../wires/wire.ts';

/** A candidate whose streamed answer is listened to on its way. */
export interface Overheard {
  readonly candidate: Candidate;
  /** What came so far. */
  answer(): Answer;
}

/** The same candidate; what its provider streams is taken apart on the side, and goes its way unchanged. */
export function overhear(candidate: Candidate): Overheard {
  const { upstream } = candidate;
  const heard: StreamPart[] = [];
  const note = (parts: readonly StreamPart[]): StreamPart[] => {
    heard.push(...parts);
    return [...parts];
  };
  const parts = (): PartReader => {
    const reader = upstream.parts();
    return { push: (chunk) => note(reader.push(chunk)), finish: () => note(reader.finish()) };
  };
  return {
    candidate: { ...candidate, upstream: { ...upstream, parts, reader: (context) => watched(upstream.reader(context), parts()) } },
    answer: () => answerOfParts(heard),
  };
}

function watched(reader: StreamReader, parts: PartReader): StreamReader {
  return {
    push(chunk) {
      const seen = reader.push(chunk);
      parts.push(chunk);
      return seen;
    },
    finish() {
      const seen = reader.finish();
      parts.finish();
      return seen;
    },
    ending: (figures) => reader.ending(figures),
  };
}

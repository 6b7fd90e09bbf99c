import type { Answer, Completion } from '../answer.ts';
import type { Part } from '../generation.ts';
import { member } from '../json-object.ts';
import { ZERO_USAGE, type ReportedUsage } from '../usage.ts';
import type { AnswerRead } from '../wire.ts';
import { collectWritten, type Written } from '../written.ts';
import { CallIds } from './call-ids.ts';
import { finishOf, finishOfBlock } from './finish.ts';
import { logprobsFromWire } from './logprobs.ts';
import { blockReasonOf, candidatesOf, failureOf, jsonText, partFromWire, type Candidate } from './response.ts';
import { usageFromWire } from './usage.ts';

/** Reads the JSON body of an answer. */
export function readAnswer(body: unknown): AnswerRead {
  const candidates = candidatesOf(body);
  const blockReason = blockReasonOf(body);
  const usage = usageOf(body, candidates.length === 0 && blockReason !== null);
  const ids = member(body, 'responseId');
  // An answer without an id of its own still reads the same each time.
  let answer: Answer | undefined;
  return {
    failure: failureOf(body),
    isAnswer: (candidates.length === 0 && blockReason !== null) || candidates.some(isWorthDelivering),
    usage,
    written: () => writtenIn(candidates),
    answer: () => (answer ??= { completions: completionsOf(candidates, blockReason, new CallIds(ids)), usage }),
  };
}

/** Figures of nothing are left out on this wire: those of a prompt that was blocked may be left out whole. */
function usageOf(body: unknown, isBlocked: boolean): ReportedUsage | null {
  const metadata = member(body, 'usageMetadata');
  return usageFromWire(metadata) ?? (isBlocked && typeof metadata === 'object' && metadata !== null ? ZERO_USAGE : null);
}

function isWorthDelivering({ parts, finishReason }: Candidate): boolean {
  return finishReason !== null || parts.some((part) => typeof part['functionCall'] === 'object' || saysSomething(part));
}

function saysSomething(part: object): boolean {
  const { texts, binaryCharacters } = collect(part);
  return texts.length > 0 || binaryCharacters > 0;
}

function collect(...parts: readonly object[]): Written {
  const written: Written = { texts: [], binaryCharacters: 0 };
  for (const part of parts) collectWritten(part, written);
  return written;
}

/** Everything that the model wrote, parts that no other wire can say included. What a tool is called with counts as its JSON text. */
function writtenIn(candidates: readonly Candidate[]): Written {
  const parts = candidates.flatMap((candidate) => candidate.parts);
  return collect(...parts.map((part) => ('functionCall' in part ? { ...part, functionCall: callAsText(part['functionCall']) } : part)));
}

function callAsText(call: unknown): object {
  return { tool: member(call, 'name'), text: jsonText(member(call, 'args') ?? member(call, 'partialArgs') ?? {}) };
}

function completionsOf(candidates: readonly Candidate[], blockReason: string | null, ids: CallIds): Completion[] {
  if (candidates.length === 0 && blockReason !== null) return [{ index: 0, parts: [], finish: finishOfBlock(blockReason) }];
  return candidates.map((candidate) => {
    const parts: Part[] = [];
    for (const wirePart of candidate.parts) {
      const part = partFromWire(wirePart, candidate.index, ids);
      if (part) addPart(parts, part);
    }
    const logprobs = logprobsFromWire(candidate.logprobs);
    return {
      index: candidate.index,
      parts,
      finish: finishOf(
        candidate.finishReason,
        parts.some(({ type }) => type === 'tool_call'),
      ),
      ...(logprobs !== undefined && { logprobs }),
    };
  });
}

/**
 * Adds a part as a stream would: pieces of one kind are one part up to a signature, which ends it. A signature on a text of nothing is of
 * the text or the thoughts before it; after anything else it stands alone, as thoughts without words.
 */
function addPart(parts: Part[], part: Part): void {
  if (part.type !== 'text' && part.type !== 'reasoning') {
    parts.push(part);
    return;
  }
  const last = parts.at(-1);
  const isOpen = (last?.type === 'text' || last?.type === 'reasoning') && last.signature === undefined;
  if (isOpen && (last.type === part.type || part.text === '')) {
    parts[parts.length - 1] = { ...last, text: last.text + part.text, ...(part.signature && { signature: part.signature }) };
  } else if (part.text !== '') {
    parts.push(part);
  } else if (part.signature) {
    parts.push({ type: 'reasoning', text: '', signature: part.signature });
  }
}

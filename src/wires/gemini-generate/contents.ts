import type { Generation, Part, Signature } from '../generation.ts';
import type { JsonObject } from '../wire.ts';
import { mediaParts, type Content } from './media.ts';
import { callPart, resultParts } from './tool-parts.ts';
import { callsIn, pairCalls, turnsOf, type Turn } from './turns.ts';

/** What a turn says that says nothing: it may neither be without parts nor, for some models, hold an empty text. */
const BLANK: JsonObject = { text: ' ' };

/** What is said to the model. */
export interface Conversation {
  /** Undefined for none. */
  readonly instructions: { readonly parts: readonly JsonObject[] } | undefined;
  readonly contents: readonly Content[];
}

/** The instructions and the turns. Where nothing else was said the instructions are the user's word: a conversation cannot be empty. */
export function conversationOf(generation: Generation): Conversation {
  const instructions = generation.system.flatMap(({ text }) => (text === '' ? [] : [{ text }]));
  if (isSilent(generation) && instructions.length > 0)
    return { instructions: undefined, contents: [{ role: 'user', parts: instructions }] };
  return { instructions: instructions.length > 0 ? { parts: instructions } : undefined, contents: contentsOf(generation) };
}

/** Whether no message says anything. */
export function isSilent({ messages }: Generation): boolean {
  return !messages.some(({ parts }) => parts.some((part) => part.type !== 'text' || part.text !== ''));
}

/**
 * The user's and the model's turns one after the other, the user's first; no turn without parts; the results of all calls at the beginning
 * of the turn after them.
 */
function contentsOf(generation: Generation): Content[] {
  const turns = turnsOf(generation);
  const contents = turns.map((turn, index): Content => {
    const before = turns[index - 1];
    const results = before ? resultParts(pairCalls(callsIn(before), turn) ?? []) : [];
    const parts = [...results, ...partsOf(turn)];
    return { role: turn.role, parts: parts.length > 0 ? parts : [BLANK] };
  });
  return contents[0]?.role === 'user' ? contents : [{ role: 'user', parts: [BLANK] }, ...contents];
}

/** All of a turn but the results of tools. */
function partsOf({ parts }: Turn): JsonObject[] {
  const said: JsonObject[] = [];
  let calls = 0;
  for (const [index, part] of parts.entries()) {
    if (part.type === 'tool_call') {
      const lent = calls === 0 ? lentSignature(parts[index - 1]) : undefined;
      said.push(callPart(part, ownSignature(part) ?? lent, calls === 0));
      calls += 1;
    } else {
      const isLent = calls === 0 && lendsTo(part, parts[index + 1]);
      said.push(...plainParts(part, isLent ? undefined : ownSignature(part)));
    }
  }
  return said;
}

function plainParts(part: Part, signature: Signature | undefined): JsonObject[] {
  const signed = signature ? { thoughtSignature: signature.value } : {};
  switch (part.type) {
    case 'text':
      return part.text === '' && !signature ? [] : [{ text: part.text, ...signed }];
    case 'refusal':
      return part.text === '' ? [] : [{ text: part.text }];
    case 'reasoning':
      // Thoughts without a signature of this wire are worth nothing to the model; an empty signed text is how the model itself signs.
      if (!signature) return [];
      return [part.text === '' ? { text: '', ...signed } : { text: part.text, thought: true, ...signed }];
    case 'image':
    case 'document':
      return mediaParts(part);
    case 'tool_call':
    case 'tool_result':
      return [];
  }
}

/** A signature that this wire's models made; those of others are worth nothing to them. */
function ownSignature(part: Part): Signature | undefined {
  const signature = 'signature' in part ? part.signature : undefined;
  return signature?.wire === 'gemini-generate' ? signature : undefined;
}

/** On wires that sign no calls, the signature of a call is kept by the thoughts before it. */
function lentSignature(before: Part | undefined): Signature | undefined {
  return before?.type === 'reasoning' ? ownSignature(before) : undefined;
}

function lendsTo(part: Part, after: Part | undefined): boolean {
  return part.type === 'reasoning' && after?.type === 'tool_call' && !ownSignature(after);
}

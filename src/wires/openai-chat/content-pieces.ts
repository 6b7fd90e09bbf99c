import { member } from '../json-object.ts';

export interface ContentPiece {
  readonly type: 'text' | 'reasoning' | 'refusal';
  readonly text: string;
}

/** What an answer's message, or a delta, says beside its calls: text in `content` as a string or (Mistral) as parts, and its refusal. */
export function contentPiecesOf(message: unknown): ContentPiece[] {
  const content = member(message, 'content');
  const pieces: ContentPiece[] = [];
  const add = (type: ContentPiece['type'], text: unknown): void => {
    if (typeof text === 'string' && text !== '') pieces.push({ type, text });
  };
  if (Array.isArray(content)) {
    for (const part of content as unknown[]) {
      const thoughts = member(part, 'thinking');
      if (typeof part === 'string') add('text', part);
      else if (Array.isArray(thoughts)) for (const thought of thoughts) add('reasoning', member(thought, 'text'));
      else if (typeof thoughts === 'string') add('reasoning', thoughts);
      else if (member(part, 'type') === 'refusal') add('refusal', member(part, 'refusal'));
      else add('text', member(part, 'text'));
    }
  } else add('text', content);
  add('refusal', member(message, 'refusal'));
  return pieces;
}

/** What the text rests on (`annotations`), as the provider words it. */
export function citationsOf(message: unknown): readonly unknown[] {
  const annotations = member(message, 'annotations');
  return Array.isArray(annotations) ? annotations : [];
}

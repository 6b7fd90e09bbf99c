import type { Answer } from '../answer.ts';
import { asObject, objectsIn, textIn } from '../json-object.ts';
import type { AnswerRead, JsonObject } from '../wire.ts';
import { collectWritten, type Written } from '../written.ts';
import { finishOf } from './finish.ts';
import { partsOfItem } from './output-items.ts';
import { usageFromResponses } from './usage.ts';

/** Reads the JSON body of a response. */
export function readAnswer(body: unknown): AnswerRead {
  const response = asObject(body);
  const items = objectsIn(response['output']);
  const usage = usageFromResponses(response['usage']);
  const isEnded = response['status'] === 'completed' || response['status'] === 'incomplete';
  return {
    failure: failureOf(response),
    isAnswer: isEnded || items.some((item) => isWritten(writtenInItem(item))),
    usage,
    written() {
      const written: Written = { texts: [], binaryCharacters: 0 };
      for (const item of items) collectItem(item, written);
      return written;
    },
    answer: () => answerOf(response),
  };
}

function answerOf(response: JsonObject): Answer {
  const items = objectsIn(response['output']);
  const parts = items.flatMap(partsOfItem);
  const logprobs = items.flatMap((item) => objectsIn(item['content']).flatMap((content) => objectsIn(content['logprobs'])));
  return {
    completions: [
      {
        index: 0,
        parts,
        finish: finishOf(response, parts),
        ...(logprobs.length > 0 && { logprobs: { content: logprobs, refusal: null } }),
      },
    ],
    usage: usageFromResponses(response['usage']),
  };
}

/** What a response, or an event in its place, tells of a failure; undefined where it tells of none. */
export function failureOf(response: JsonObject): unknown {
  if (response['error']) return response['error'];
  return ['failed', 'cancelled', 'error'].includes(textIn(response['status'])) || response['type'] === 'error' ? response : undefined;
}

/** Everything in an item that a model wrote; what only names it is the server's. */
export function collectItem(item: JsonObject, into: Written): void {
  const { phase: _phase, namespace: _namespace, caller: _caller, execution: _execution, ...said } = item;
  collectWritten({ message: said }, into);
}

function writtenInItem(item: JsonObject): Written {
  const written: Written = { texts: [], binaryCharacters: 0 };
  collectItem(item, written);
  return written;
}

export function isWritten({ texts, binaryCharacters }: Written): boolean {
  return texts.length > 0 || binaryCharacters > 0;
}

import type { Answer } from '../answer.ts';
import type { Part } from '../generation.ts';
import { isObject, listIn, textIn } from '../json-object.ts';
import type { AnswerRead, JsonObject } from '../wire.ts';
import type { Written } from '../written.ts';
import { collectBlock } from './events.ts';
import { failureOf } from './failure.ts';
import { finishFromWire } from './finish.ts';
import { usageFromWire } from './usage.ts';

const WIRE = 'anthropic-messages';

/** Reads a whole message: https://docs.anthropic.com/en/api/messages. */
export function readMessage(body: unknown): AnswerRead {
  const message = isObject(body) ? body : {};
  const failure = failureOf(body);
  const content = listIn(message['content']);
  const written = (): Written => {
    const into: Written = { texts: [], binaryCharacters: 0 };
    for (const block of content) collectBlock(block, into);
    return into;
  };
  const { texts, binaryCharacters } = written();
  const usage = usageFromWire(message['usage']);
  return {
    failure,
    isAnswer: failure === undefined && (texts.length > 0 || binaryCharacters > 0 || typeof message['stop_reason'] === 'string'),
    usage,
    written,
    answer: (): Answer => ({
      completions: [
        {
          index: 0,
          parts: content.flatMap((block) => partsOf(block)),
          finish: finishFromWire(textIn(message['stop_reason']) || 'end_turn', message['stop_sequence']),
        },
      ],
      usage,
    }),
  };
}

/** A block as a part; none for one that only its own wire can say. */
function partsOf(block: unknown): Part[] {
  if (!isObject(block)) return [];
  switch (block['type']) {
    case 'text':
      return [textPart(block)];
    case 'thinking': {
      const value = textIn(block['signature']);
      return [{ type: 'reasoning', text: textIn(block['thinking']), ...(value !== '' && { signature: { wire: WIRE, value } }) }];
    }
    case 'redacted_thinking':
      return [{ type: 'reasoning', text: '', redacted: { wire: WIRE, value: textIn(block['data']) } }];
    case 'tool_use':
      return [
        { type: 'tool_call', id: textIn(block['id']), name: textIn(block['name']), input: inputText(block['input']), kind: 'function' },
      ];
    default:
      return [];
  }
}

function textPart(block: JsonObject): Part {
  const citations = listIn(block['citations']);
  return { type: 'text', text: textIn(block['text']), ...(citations.length > 0 && { citations }) };
}

/** Arguments as JSON text; '' for none. */
export function inputText(input: unknown): string {
  return isObject(input) && Object.keys(input).length === 0 ? '' : JSON.stringify(input ?? {});
}

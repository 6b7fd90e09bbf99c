import { extraSignatureOf } from './call-signature.ts';
import { member } from '../json-object.ts';
import type { CallPiece } from './piece-order.ts';

/** The calls in a message or a delta, the one of the old `function_call` too. */
export function callsOf(message: unknown): readonly unknown[] {
  const calls = member(message, 'tool_calls');
  const legacy = member(message, 'function_call');
  const list = Array.isArray(calls) ? (calls as unknown[]) : [];
  return typeof legacy === 'object' && legacy !== null ? [...list, { index: 'function_call', function: legacy }] : list;
}

/** What a call, or a piece of one, says. Arguments that came as an object, as some servers send them, are written as text. */
export function callPieceOf(call: unknown): CallPiece {
  const custom = member(call, 'custom') ?? null;
  const inside = custom ?? member(call, 'function');
  const id = member(call, 'id');
  const name = member(inside, 'name');
  const input = custom === null ? member(inside, 'arguments') : member(inside, 'input');
  const signature = extraSignatureOf(call);
  return {
    ...(typeof id === 'string' && { id }),
    ...(typeof name === 'string' && { name }),
    ...((custom !== null || member(call, 'type') === 'custom') && { kind: 'custom' }),
    ...(typeof input === 'string' ? { input } : typeof input === 'object' && input !== null && { input: JSON.stringify(input) }),
    ...(signature && { signature }),
  };
}

import { randomUUID } from 'node:crypto';

/** What an operator's act has besides what it does. */
export function anAct(reason = 'because a test says so') {
  return { id: randomUUID(), by: { name: 'alice', network: '192.0.2.0/24' }, reason };
}

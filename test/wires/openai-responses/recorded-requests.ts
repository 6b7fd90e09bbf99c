import { existsSync, readdirSync, readFileSync } from 'node:fs';
import type { SURFACES } from '../../../src/wires/surfaces.ts';
import type { JsonObject } from '../../../src/wires/wire.ts';

/** Requests recorded from real clients. They lie beside the project, where they are at all. */
const DIRECTORY = new URL('../../../../shared/clients/', import.meta.url);
const WIRES: Readonly<Record<string, keyof typeof SURFACES>> = {
  '/v1/chat/completions': 'openai-chat',
  '/v1/responses': 'openai-responses',
  '/v1/messages': 'anthropic-messages',
};

interface RecordedRequest {
  readonly file: string;
  readonly wire: keyof typeof SURFACES;
  readonly body: JsonObject;
}

/** All that were recorded for a completion, but for the one that asks for a conversation which the provider keeps. */
export function recordedRequests(): RecordedRequest[] {
  if (!existsSync(DIRECTORY)) {
    console.warn(`skipped: no recorded clients in ${DIRECTORY.pathname}`);
    return [];
  }
  const files = readdirSync(DIRECTORY).filter((name) => name.endsWith('.json'));
  return files.flatMap((file) => {
    const { requests = [] } = JSON.parse(readFileSync(new URL(file, DIRECTORY), 'utf8')) as {
      requests?: { path: string; body: unknown }[];
    };
    return requests.flatMap(({ path, body }, index): RecordedRequest[] => {
      const wire = WIRES[path.split('?')[0] ?? ''];
      if (!wire || typeof body !== 'object' || body === null || 'thread' in body) return [];
      return [{ file: `${file}#${index}`, wire, body: body as JsonObject }];
    });
  });
}

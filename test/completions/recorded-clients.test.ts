import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from '@jest/globals';
import { chatBodyFor, readChat } from '../support/chat-request.ts';
import { deployment } from '../support/deployment.ts';

/** Requests recorded from real clients. They lie beside the project, where they are at all. */
const DIRECTORY = new URL('../../../shared/clients/', import.meta.url);

interface Recording {
  file: string;
  body: { messages: unknown[] };
}

function recordings(): Recording[] {
  const files = readdirSync(DIRECTORY).filter((name) => name.endsWith('.json'));
  return files.flatMap((file) => {
    const { requests = [] } = JSON.parse(readFileSync(new URL(file, DIRECTORY), 'utf8')) as {
      requests?: { path: string; body: unknown }[];
    };
    const chats = requests.filter(({ path, body }) => path === '/v1/chat/completions' && typeof body === 'object' && body !== null);
    return chats.map(({ body }) => ({ file, body: body as Recording['body'] }));
  });
}

const present = existsSync(DIRECTORY);
if (!present) console.warn(`skipped: no recorded clients in ${DIRECTORY.pathname}`);

(present ? describe : describe.skip)('every chat request recorded from a real client', () => {
  it('is accepted, and its messages go upstream as they came', () => {
    const all = recordings();
    expect(all.length).toBeGreaterThan(40);
    for (const { file, body } of all) {
      const accepted = () => {
        const request = readChat(JSON.stringify(body));
        return (JSON.parse(chatBodyFor(request, deployment(), 100, 'account').toString()) as Recording['body']).messages;
      };
      try {
        expect(accepted()).toEqual(body.messages);
      } catch (error) {
        throw new Error(file, { cause: error });
      }
    }
  });
});

import { existsSync, readdirSync, readFileSync } from 'node:fs';

/** Requests recorded from real clients. They lie beside the project, where they are at all. */
const DIRECTORY = new URL('../../../shared/clients/', import.meta.url);

export interface RecordedRequest {
  readonly file: string;
  readonly body: Record<string, unknown>;
}

/** The bodies that clients sent to a path; none where there are no recordings. */
export function recordedRequests(path: string): RecordedRequest[] {
  if (!existsSync(DIRECTORY)) {
    console.warn(`skipped: no recorded clients in ${DIRECTORY.pathname}`);
    return [];
  }
  return readdirSync(DIRECTORY)
    .filter((name) => name.endsWith('.json'))
    .flatMap((file) => {
      const { requests = [] } = JSON.parse(readFileSync(new URL(file, DIRECTORY), 'utf8')) as {
        requests?: { path: string; body: unknown }[];
      };
      return requests
        .filter((request) => request.path === path && typeof request.body === 'object' && request.body !== null)
        .map(({ body }) => ({ file, body: body as Record<string, unknown> }));
    });
}

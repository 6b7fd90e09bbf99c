import { describe, expect, it } from '@jest/globals';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const PROJECT = fileURLToPath(new URL('../../', import.meta.url));
const DOCUMENTS = [
  'README.md',
  'CONTRIBUTING.md',
  ...readdirSync(path.join(PROJECT, 'docs'))
    .filter((name) => name.includes('.'))
    .map((name) => `docs/${name}`),
];

/** A file of the project, named from its top; a link to another document, named from the document's folder. */
const NAMED = /\b(?:src|test|bench|migrations|views|docker)\/[\w./-]*\w/g;
const LINKED = /\]\((?!https?:|#)([^)#]+)/g;

describe.each(DOCUMENTS)('%s', (document) => {
  const text = readFileSync(path.join(PROJECT, document), 'utf8');

  it('names files that exist', () => {
    const named = [...text.matchAll(NAMED)].map(([file]) => file);
    const linked = [...text.matchAll(LINKED)].map(([, file]) => path.join(path.dirname(document), file ?? ''));
    // A migration may be named by its number.
    const exists = (file: string) => existsSync(path.join(PROJECT, file)) || /^migrations\/\d{4}$/.test(file);
    expect([...named, ...linked].filter((file) => !exists(file))).toEqual([]);
  });
});

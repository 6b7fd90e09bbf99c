import { z } from 'zod';

/** Who may look after the gateway, and how they prove it. */
export interface AdminToken {
  readonly name: string;
  readonly token: string;
}

/** The name of a token that was given without one. */
const ONLY_NAME = 'admin';
const MIN_TOKEN_CHARS = 16;

/** One token, or several as `name:token` separated by commas. What is wrong is told by the entry's place, never by its words. */
export const adminTokens = z.string().transform((value, context): readonly AdminToken[] => {
  const tokens = value.split(',').map(parseEntry);
  const problem = problemOf(tokens);
  if (problem !== undefined) context.addIssue({ code: 'custom', message: problem });
  return tokens;
});

function parseEntry(entry: string): AdminToken {
  const separator = entry.indexOf(':');
  const name = separator < 0 ? ONLY_NAME : entry.slice(0, separator).trim();
  return { name, token: entry.slice(separator + 1).trim() };
}

function problemOf(tokens: readonly AdminToken[]): string | undefined {
  for (const [index, { name, token }] of tokens.entries()) {
    const entry = tokens.length > 1 ? `entry ${index + 1}: ` : '';
    if (!/^[\w.-]{1,32}$/.test(name)) return `${entry}a name has 1 to 32 letters, digits, dots, hyphens and underscores`;
    if (!/^[!-~]+$/.test(token) || token.length < MIN_TOKEN_CHARS)
      return `${entry}a token has ${MIN_TOKEN_CHARS} printable characters or more, and no space`;
    if (tokens.findIndex((other) => other.name === name || other.token === token) < index)
      return `${entry}two tokens, or two names, are the same`;
  }
  return undefined;
}

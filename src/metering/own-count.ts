import type { Deployment } from '../models/deployment.ts';
import { countOutputTokens } from '../wires/tokens.ts';

/**
 * The gateway's own count of a text as a model's tokens, for what its provider does not count. `tokenFactor` is a bound on what the family
 * counts beyond a known tokenizer: half of what it adds is the usual.
 */
export function ownCount(
  text: string,
  { tokenizer, tokenFactor }: Pick<Deployment, 'tokenizer' | 'tokenFactor'>,
): number | Promise<number> {
  const counted = countOutputTokens(text, tokenizer);
  // Bytes know no family.
  if (tokenFactor === 1 || tokenizer === 'bytes') return counted;
  const usual = (tokens: number): number => Math.ceil((tokens * (1 + tokenFactor)) / 2);
  return typeof counted === 'number' ? usual(counted) : counted.then(usual);
}

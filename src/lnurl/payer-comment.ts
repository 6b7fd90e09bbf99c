import { GatewayError } from '../errors.ts';

/** Of what a payer may write (LUD-12), in characters as people count them, not in bytes. */
export const MOST_COMMENT_CHARACTERS = 140;
/** Ends of lines and tabs. */
const SPACE = /[\t\n\v\f\r\u0085\u2028\u2029]+/g;
/** Control characters, and the marks that turn the direction of what follows, so that a comment could make its neighbours read otherwise. */
const UNSEEN = /[\p{Cc}\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu;

/** A payer's comment as it is kept: text of one line, null where nothing is left. Throws GatewayError `invalid_request` for one too long. */
export function payerComment(comment = ''): string | null {
  if (Array.from(comment).length > MOST_COMMENT_CHARACTERS)
    throw new GatewayError('invalid_request', {
      message: `The comment is longer than ${MOST_COMMENT_CHARACTERS} characters.`,
      param: 'comment',
    });
  const kept = comment.toWellFormed().replaceAll(SPACE, ' ').replaceAll(UNSEEN, '').trim();
  return kept === '' ? null : kept;
}

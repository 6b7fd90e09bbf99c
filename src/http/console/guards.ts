import type { RequestHandler } from 'express';
import type { Facts } from './signed-in.ts';

/** `what` is confirmed, in a few words; `facts` tell more of it. */
export type Fresh = (what: string, facts?: Facts) => RequestHandler;

/** What stands before the handlers of the console's pages. */
export interface Guards {
  /** Reads a form of the console's own. */
  readonly form: RequestHandler;
  /** Lets on who is signed in. */
  readonly session: RequestHandler;
  /** Lets on owners who are signed in. */
  readonly owner: readonly RequestHandler[];
  /** Asks for a proof that is not older than a quarter of an hour. */
  readonly fresh: Fresh;
}

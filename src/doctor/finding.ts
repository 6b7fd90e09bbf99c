/**
 * How a thing stands: `ok`; `note`, worth knowing; `warning`, which works and should be mended; `problem`, which does not work or will lose
 * something; `unknown`, which could not be looked at.
 */
export type Level = 'ok' | 'note' | 'warning' | 'problem' | 'unknown';

/** One thing that was looked at. */
export interface Finding {
  readonly level: Level;
  readonly found: string;
  /** What to do, where there is something to do. */
  readonly advice?: string;
}

export const ok = (found: string): Finding => ({ level: 'ok', found });
export const note = (found: string, advice?: string): Finding => ({ level: 'note', found, ...(advice !== undefined && { advice }) });
export const warning = (found: string, advice: string): Finding => ({ level: 'warning', found, advice });
export const problem = (found: string, advice: string): Finding => ({ level: 'problem', found, advice });
export const unknown = (found: string, advice?: string): Finding => ({ level: 'unknown', found, ...(advice !== undefined && { advice }) });

/** Something to look at. It changes nothing. */
export interface Check {
  readonly name: string;
  /** May reject: what it says then is told as a problem. */
  look(): Promise<readonly Finding[]> | readonly Finding[];
}

/** What a check has found, with its name. */
export type NamedFinding = Finding & { readonly check: string };

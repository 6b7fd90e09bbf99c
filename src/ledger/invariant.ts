/** What an audit looks at: SQL relations, either whole tables or the rows since the last sound audit. */
export interface AuditScope {
  /** Transfers, with all columns. */
  transfers: string;
  /** Holds, with all columns. */
  holds: string;
  /** Paid invoices, with all columns. */
  paidInvoices: string;
  /** How old a pending hold may be. */
  oldestHoldSeconds: number;
  /** The free requests of an account that has no limit of its own. */
  freeRequests: number;
}

/** A rule of the ledger, and the query that finds what breaks it. */
export interface Invariant {
  /** Rules of one kind have the same number. */
  invariant: number;
  rule: string;
  /** Gives `subject, expected, found` for every violation. */
  sql: (scope: AuditScope) => string;
  /**
   * `whole`: the rule has to read the whole history. `part`: it takes the place of such a rule if only new
   * rows are read.
   */
  runs?: 'whole' | 'part';
}

import type { Admission, Checkpoint, HoldRow, Settlement } from './hold.ts';

/** A row, where it stood in the batch, and the place of its account among the batch's. */
export interface Placed<Row> {
  row: Row;
  index: number;
  account: number;
}

export interface SortedBatch {
  /** Each once, in the database's order of uuids. */
  accounts: string[];
  settlements: Placed<Settlement>[];
  checkpoints: Placed<Checkpoint>[];
  admissions: Placed<Admission>[];
}

/** Sorts the rows of a batch by what they are. */
export function sorted(rows: readonly HoldRow[]): SortedBatch {
  const accounts = [...new Set(rows.map(({ accountId }) => accountId))].sort();
  const places = new Map(accounts.map((accountId, account) => [accountId, account]));
  const batch: SortedBatch = { accounts, settlements: [], checkpoints: [], admissions: [] };
  rows.forEach((row, index) => {
    const account = places.get(row.accountId) ?? 0;
    if (row.kind === 'settlement') batch.settlements.push({ row, index, account });
    else if (row.kind === 'checkpoint') batch.checkpoints.push({ row, index, account });
    else batch.admissions.push({ row, index, account });
  });
  return batch;
}

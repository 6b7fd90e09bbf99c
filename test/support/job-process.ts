import { forgetAnswers } from '../../src/jobs/forget-answers.ts';
import { rollLedgerDays } from '../../src/ledger/ledger-days.ts';
import { UsageHours } from '../../src/ledger/usage-hours.ts';
import { createPool } from '../../src/db/postgres.ts';

/** A job of the background again and again, in a process of its own: started by tests with the database and the job's name, and killed by them. */
const [connectionString = '', name = ''] = process.argv.slice(2);
const pool = createPool({ connectionString, max: 1 });
const usage = new UsageHours(pool, { ageSeconds: 0 });
const jobs: Record<string, () => Promise<unknown>> = {
  usage: () => usage.catchUp(),
  'ledger days': () => rollLedgerDays(pool, 0),
  'forget answers': () => forgetAnswers(pool),
};
const job = jobs[name];
if (!job) throw new Error(`no job ${name}`);
for (;;) await job();

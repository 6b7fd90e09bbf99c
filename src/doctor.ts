import { diagnose } from './doctor/diagnose.ts';
import { textOf } from './doctor/report.ts';
import { VERSION } from './http/api/status.ts';

/**
 * `npm run doctor`: looks at a configuration end to end, beside a running gateway or before the first start, and says of each thing what was
 * found and what to do. Changes nothing and prints no secret. With `-- --json` for programs. Exits with 0 where nothing is wrong, with 1 where
 * something is, with 2 where it could not look at all.
 */
const unknownArguments = process.argv.slice(2).filter((argument) => argument !== '--json');
try {
  if (unknownArguments.length > 0) throw new Error(`there is no ${unknownArguments.join(' ')}; there is --json`);
  const report = await diagnose({ version: VERSION });
  console.log(process.argv.includes('--json') ? JSON.stringify(report, undefined, 2) : textOf(report));
  process.exitCode = report.sound ? 0 : 1;
} catch (error) {
  console.error(`The doctor cannot work: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 2;
}
// What did not answer in time holds nothing up.
process.exit();

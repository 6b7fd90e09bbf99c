import { DeadlineError, withDeadline } from '../lightning/deadline.ts';
import { problem, unknown, type Check, type Finding, type NamedFinding } from './finding.ts';

const DEADLINE_MS = 20_000;

/** Looks at everything at once, whatever fails, each within the deadline. The findings come in the order of the checks. */
export async function runChecks(checks: readonly Check[], deadlineMs = DEADLINE_MS): Promise<NamedFinding[]> {
  const looks = checks.map(async (check) => {
    const findings = await lookWithin(check, deadlineMs);
    return findings.map((finding) => ({ check: check.name, ...finding }));
  });
  return (await Promise.all(looks)).flat();
}

async function lookWithin(check: Check, deadlineMs: number): Promise<readonly Finding[]> {
  try {
    return await withDeadline(
      Promise.resolve().then(() => check.look()),
      deadlineMs,
    );
  } catch (error) {
    if (error instanceof DeadlineError) {
      return [
        unknown(`no answer within ${deadlineMs / 1000} s`, 'Look whether a firewall swallows what is sent there, then run this again.'),
      ];
    }
    return [problem(`this could not be looked at: ${messageOf(error)}`, 'The message says what stands in the way.')];
  }
}

/** The first line of what went wrong, and of what was behind it. */
export function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const code = (error as NodeJS.ErrnoException).code;
  const own = error.message || (error instanceof AggregateError && error.errors.length > 0 ? messageOf(error.errors[0]) : error.name);
  const behind = error.cause instanceof Error ? `: ${messageOf(error.cause)}` : '';
  const [line = ''] = `${own}${behind}`.split('\n');
  return typeof code === 'string' && !line.includes(code) ? `${line} (${code})` : line;
}

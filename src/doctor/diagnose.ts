import { ConfigError } from '../config/config-error.ts';
import { secretsOf, usableConfig, type UsableConfig } from '../config/usable-config.ts';
import { clockChecks } from './clock-checks.ts';
import { configurationChecks } from './configuration-checks.ts';
import { databaseChecks } from './database-checks.ts';
import { problem, type NamedFinding } from './finding.ts';
import { lightningChecks } from './lightning-checks.ts';
import { machineChecks } from './machine-checks.ts';
import { outsideChecks } from './outside-checks.ts';
import { reachDatabase } from './reach-database.ts';
import { reportOf, type Report } from './report.ts';
import { runChecks } from './run-checks.ts';
import { WORLD, type World } from './world.ts';

export interface DiagnoseOptions {
  /** The process's own where left out. */
  env?: NodeJS.ProcessEnv | undefined;
  world?: World;
  version: string;
  deadlineMs?: number;
}

/** Looks at a configuration and all that it names, and changes nothing. No secret is in the report. */
export async function diagnose({ env, world = WORLD, version, deadlineMs }: DiagnoseOptions): Promise<Report> {
  let usable: UsableConfig;
  try {
    usable = usableConfig(env);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    const findings = error.message
      .split('\n')
      .map((found): NamedFinding => ({ check: 'configuration', ...problem(found, 'Correct it; nothing else can be looked at.') }));
    return reportOf(version, findings, []);
  }
  const { config, secretKeyText } = usable;
  const database = await reachDatabase(config);
  try {
    const checks = [
      ...configurationChecks(usable, database, env),
      ...databaseChecks(database, config.NODE_ENV === 'production'),
      ...clockChecks(database, world),
      ...lightningChecks(config, database, world),
      ...outsideChecks(config, world),
      ...machineChecks(database, world),
    ];
    return reportOf(version, await runChecks(checks, deadlineMs), secretsOf(config, secretKeyText));
  } finally {
    await database.close();
  }
}

import type { z } from 'zod';
import { ConfigError } from './config-error.ts';
import type { SettingPath } from './yaml-source.ts';

/** What is wrong with one setting of the gateway file. Never says a value: a misplaced secret must not reach a log. */
export interface SettingProblem {
  readonly path: SettingPath;
  readonly message: string;
  /** Where to point: at the setting's name where the name is what is wrong. */
  readonly part?: 'value' | 'name';
}

/** Where a setting stands: `gateway.yaml:12:5`. */
export type Locate = (path: SettingPath, part?: 'value' | 'name') => string;

const MOST_TOLD = 20;

/** All problems of a gateway file, one a line. */
export function settingError(problems: readonly SettingProblem[], locate?: Locate): ConfigError {
  const told = problems
    .slice(0, MOST_TOLD)
    .map(({ path, message, part }) => [settingName(path, locate, part), message].filter(Boolean).join(': '));
  if (problems.length > MOST_TOLD) told.push(`… and ${problems.length - MOST_TOLD} more`);
  return new ConfigError(told.join('\n'));
}

/** A setting as a message names it: `GATEWAY_CONFIG: gateway.yaml:12:5: deployments.0.baseUrl`. */
export function settingName(path: SettingPath, locate?: Locate, part?: 'value' | 'name'): string {
  return ['GATEWAY_CONFIG', ...(locate ? [locate(path, part)] : []), ...(path.length > 0 ? [path.map(String).join('.')] : [])].join(': ');
}

/** What a failed parse found. A name that is no setting is a problem of its own, at that name. */
export function settingProblems(error: z.ZodError, has: (path: SettingPath) => boolean): SettingProblem[] {
  return error.issues.flatMap((issue): SettingProblem[] => {
    const { path, message } = issue;
    if (issue.code === 'unrecognized_keys')
      return issue.keys.map((key) => ({ path: [...path, key], message: 'is no setting there is', part: 'name' }));
    if (issue.code === 'invalid_key') return [{ path, message: issue.issues.map((inner) => inner.message).join(', '), part: 'name' }];
    if (issue.code === 'custom' && issue.params?.['part'] === 'name') return [{ path, message, part: 'name' }];
    if (issue.code === 'invalid_union') return [{ path, message: 'is none of what may be here' }];
    return [{ path, message: has(path) ? message : 'is missing' }];
  });
}

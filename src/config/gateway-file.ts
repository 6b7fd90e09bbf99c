import path from 'node:path';
import { z } from 'zod';
import { capacityMembers, refuseUnknownProviders } from './capacity-config.ts';
import { ConfigError } from './config-error.ts';
import { deploymentMembers, limits, sharedIds } from './deployment-config.ts';
import { modelMembers, refuseSharedNames } from './model-config.ts';
import { readNamedFile } from './named-file.ts';
import { PUBLIC_PROVIDERS } from './public-providers.ts';
import { settingError, settingProblems, type Locate } from './setting-problem.ts';
import { text, tokens } from './value.ts';
import { parseYaml, YamlError, type Position, type YamlSource } from './yaml-source.ts';

/** Far more than any operator writes. */
const MOST_BYTES = 1024 * 1024;

/** USD per million tokens: a dollar a token at most. */
const price = z.number().min(0).max(1_000_000);
const rates = {
  input: price,
  output: price,
  cacheRead: price.optional(),
  cacheWrite: price.optional(),
  /** A write for an hour or more. */
  cacheWriteLong: price.optional(),
};
/** The prices of a step are for the whole request, where its prompt has so many tokens or more. */
const prices = z.strictObject({
  ...rates,
  steps: z.array(z.strictObject({ fromTokens: tokens, ...rates })).optional(),
});

/** The operator's YAML file, `GATEWAY_CONFIG`. */
export const gatewayFile = z
  .strictObject({
    deployments: z.array(z.strictObject({ ...deploymentMembers, prices })).default([]),
    /** Other names of models: the id that clients may ask for, and the one that then answers. */
    aliases: z.record(text, text).default({}),
    /** Models that several deployments serve. */
    models: modelMembers.default({}),
    /** Replaces the catalogue's prices of a model, or prices one that it does not know. */
    prices: z.record(z.string(), prices).default({}),
    /** What the operator sets of public providers. */
    providers: z.partialRecord(z.enum(PUBLIC_PROVIDERS), z.strictObject({ limits: limits.optional() })).default({}),
    /** How much each provider can take, for ties. */
    capacity: capacityMembers.optional(),
  })
  .superRefine(({ deployments }, context) => {
    for (const { path: at, message } of sharedIds(deployments)) context.addIssue({ code: 'custom', path: [...at], message });
  })
  .superRefine(refuseUnknownProviders)
  .superRefine(refuseSharedNames);

export type DeploymentConfig = z.infer<typeof gatewayFile>['deployments'][number];
export type PricesConfig = z.infer<typeof prices>;
export type GatewayFile = z.infer<typeof gatewayFile>;

/** The file's content, and where each of its settings stands: also for what turns out wrong later. */
export interface ReadGatewayFile extends GatewayFile {
  readonly locate?: Locate | undefined;
}

/** Reads and checks the file; without one, everything in it has its default. Throws ConfigError with the line and column of all that is wrong. */
export function readGatewayFile(file: string | undefined): ReadGatewayFile {
  if (file === undefined) return gatewayFile.parse({});
  const at = ({ line, column }: Position): string => `${path.basename(file)}:${line}:${column}`;
  const content = readNamedFile('GATEWAY_CONFIG', file, { mostBytes: MOST_BYTES });
  let source: YamlSource;
  try {
    source = parseYaml(content);
  } catch (error) {
    throw error instanceof YamlError ? new ConfigError(`GATEWAY_CONFIG: ${at(error.position)}: ${error.message}`) : error;
  }
  const { value, has, positionOf } = source;
  const locate: Locate = (setting, part) => at(positionOf(setting, part));
  const parsed = gatewayFile.safeParse(value);
  if (!parsed.success) throw settingError(settingProblems(parsed.error, has), locate);
  return { ...parsed.data, locate };
}

/** The token of the operator's own model server, from its entry or the file it names. */
export function deploymentApiKey(
  { id, apiKey, apiKeyFile }: DeploymentConfig,
  setting = `deployments.${id}.apiKeyFile`,
): string | undefined {
  return apiKeyFile ? readNamedFile(setting, apiKeyFile).trim() : apiKey;
}

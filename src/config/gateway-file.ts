import { parse as parseYaml } from 'yaml';
import { z } from 'zod';
import { capacityMembers, refuseUnknownProviders } from './capacity-config.ts';
import { ConfigError } from './config-error.ts';
import { deploymentMembers } from './deployment-config.ts';
import { modelMembers, refuseSharedNames } from './model-config.ts';
import { readNamedFile } from './named-file.ts';
import { describeProblems, text, tokens } from './value.ts';

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
const gatewayFile = z
  .strictObject({
    deployments: z.array(z.strictObject({ ...deploymentMembers, prices })).default([]),
    /** Other names of models: the id that clients may ask for, and the one that then answers. */
    aliases: z.record(text, text).default({}),
    /** Models that several deployments serve. */
    models: modelMembers.default({}),
    /** Replaces the catalogue's prices of a model, or prices one that it does not know. */
    prices: z.record(z.string(), prices).default({}),
    /** How much each provider can take, for ties. */
    capacity: capacityMembers.optional(),
  })
  .superRefine(refuseUnknownProviders)
  .superRefine(refuseSharedNames);

export type DeploymentConfig = z.infer<typeof gatewayFile>['deployments'][number];
export type PricesConfig = z.infer<typeof prices>;
export type GatewayFile = z.infer<typeof gatewayFile>;

/** Reads and checks the file; without one, everything in it has its default. Throws ConfigError. */
export function readGatewayFile(file: string | undefined): GatewayFile {
  if (file === undefined) return gatewayFile.parse({});
  let content: unknown;
  try {
    content = parseYaml(readNamedFile('GATEWAY_CONFIG', file)) ?? {};
  } catch (error) {
    throw error instanceof ConfigError ? error : new ConfigError(`GATEWAY_CONFIG: not valid YAML: ${(error as Error).message}`);
  }
  const parsed = gatewayFile.safeParse(content);
  if (!parsed.success) throw new ConfigError(`GATEWAY_CONFIG: ${describeProblems(parsed.error)}`);
  const ids = parsed.data.deployments.map(({ id }) => id);
  const twice = ids.find((id, index) => ids.indexOf(id) < index);
  if (twice !== undefined) throw new ConfigError(`GATEWAY_CONFIG: deployments: the id ${twice} is used twice`);
  return parsed.data;
}

/** The token of the operator's own model server, from its entry or the file it names. */
export function deploymentApiKey(deployment: DeploymentConfig): string | undefined {
  return deployment.apiKeyFile ? readNamedFile(`deployments.${deployment.id}.apiKeyFile`, deployment.apiKeyFile).trim() : deployment.apiKey;
}

import { ConfigError } from './config/config-error.ts';
import { readSources } from './config/config.ts';
import type { Environment } from './config/environment.ts';
import type { ReadGatewayFile } from './config/gateway-file.ts';
import { apiKeyVariable, PUBLIC_PROVIDERS } from './config/public-providers.ts';
import { wiresOf } from './config/deployment-config.ts';
import { createModels, type Models } from './models/models.ts';
import { compilePrices } from './pricing/catalogue.ts';

export interface ConfigReport {
  /** 1 where the gateway would not start with it. */
  readonly exitCode: 0 | 1;
  readonly lines: readonly string[];
}

/**
 * What a configuration says, and what is wrong with it, without network and database. A key that is not there now is only warned of, so that
 * a file can be checked where no secret is. No line has a credential in it.
 */
export function checkConfig(file?: string, env?: NodeJS.ProcessEnv): ConfigReport {
  try {
    const { environment, content } = readSources(file, env);
    const withKeys = modelsOf(...supposingKeys(environment, content));
    return { exitCode: 0, lines: [...found(environment, content, withKeys), ...warnings(environment, content)] };
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return { exitCode: 1, lines: error.message.split('\n') };
  }
}

function modelsOf(environment: Environment, content: ReadGatewayFile): Models {
  const config = { ...environment, ...content };
  const set = { prices: compilePrices(config), priceVersion: 0 };
  return createModels(config, { prices: { current: set, keepUp: () => undefined } });
}

/** As though every provider had a key, and every key's file were there. */
function supposingKeys(environment: Environment, content: ReadGatewayFile): [Environment, ReadGatewayFile] {
  const keys = Object.fromEntries(PUBLIC_PROVIDERS.map((id) => [apiKeyVariable(id), 'a key']));
  const deployments = content.deployments.map((entry) => ({ ...entry, apiKeyFile: undefined }));
  return [
    { ...environment, ...keys },
    { ...content, deployments },
  ];
}

/** The keys that are missing: in the environment, and behind the names of files. */
function warnings(environment: Environment, content: ReadGatewayFile): string[] {
  const [withKeys, withoutFiles] = supposingKeys(environment, content);
  return [...problemsOf(environment, withoutFiles), ...problemsOf(withKeys, content)].map((line) => `warning: ${line}`);
}

function problemsOf(environment: Environment, content: ReadGatewayFile): string[] {
  try {
    modelsOf(environment, content);
    return [];
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return error.message.split('\n');
  }
}

function found(environment: Environment, content: ReadGatewayFile, models: Models): string[] {
  const enabled = PUBLIC_PROVIDERS.filter((id) => environment[apiKeyVariable(id)] !== undefined);
  return [
    `providers with a key: ${enabled.join(', ') || 'none'}`,
    ...Object.entries(content.providers).map(([id, own]) => `  ${id}${limitsOf(own?.limits)}`),
    ...content.deployments.map(deploymentLine),
    ...Object.keys(content.models).map((model) => modelLine(model, models)),
    ...Object.entries(content.aliases).map(([alias, model]) => `alias ${alias}: ${model}`),
    ...Object.entries(content.prices).map(([model, { input, output }]) => `price of ${model}: $${input} and $${output} a million tokens`),
    ...capacityLines(content.capacity),
  ];
}

function deploymentLine(entry: ReadGatewayFile['deployments'][number]): string {
  const { id, baseUrl, prices, tier, limits } = entry;
  // A query can be a credential.
  const { origin, pathname } = new URL(baseUrl);
  const price = `$${prices.input} and $${prices.output} a million tokens`;
  return `deployment pureai/${id}: ${wiresOf(entry).join(', ')} at ${origin}${pathname}, ${price}, ${tier}${limitsOf(limits)}`;
}

function modelLine(model: string, models: Models): string {
  const chatting = models.serving(model);
  const servings = chatting.length > 0 ? chatting : models.serving(model, 'embed');
  const shares = servings.map(({ deployment, type, weight }) => `${deployment.id} (${type}, weight ${weight})`);
  return `model ${model}: ${shares.join(', ')}`;
}

function limitsOf(limits: ReadGatewayFile['deployments'][number]['limits']): string {
  const { concurrentRequests = null, requestsPerMinute = null } = limits ?? {};
  const told = [
    ...(concurrentRequests === null ? [] : [`${concurrentRequests} requests at once`]),
    ...(requestsPerMinute === null ? [] : [`${requestsPerMinute} requests a minute`]),
  ];
  return told.length > 0 ? `, at most ${told.join(' and ')}` : '';
}

function capacityLines(capacity: ReadGatewayFile['capacity']): string[] {
  if (capacity?.pool) return [`capacity: pool ${capacity.pool.address} on chain ${capacity.pool.chainId}`];
  if (!capacity?.weights) return [];
  const weights = Object.entries(capacity.weights).map(([id, weight]) => `${id} ${weight}`);
  return [`capacity: ${weights.join(', ')}`];
}

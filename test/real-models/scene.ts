import type { DeploymentConfig } from '../../src/config/gateway-file.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { createSite, type GatewayProcess, type GatewaySite } from '../support/gateway-process.ts';
import { MODEL_SERVER_VARIABLE } from './global-setup.ts';
import { CONTEXT_TOKENS, SERVED_MODEL } from './model-server.ts';
import { startTap, type Tap, type Tapped } from './tap.ts';

/** What clients ask for. */
export const MODEL = 'pureai/gemma';
/** The same model, behind the wire that continues a text. */
export const TEXT_MODEL = 'pureai/gemma-text';
/** The same model, for what it makes of a text. */
export const EMBEDDING_MODEL = 'pureai/gemma-embed';
/** In USD a million tokens: at the simulated rate an input token costs one msat, and an output token two. */
const PRICES = { input: 1, output: 2 };
export const costMsat = (promptTokens: number, completionTokens: number) => promptTokens + 2 * completionTokens;

/** A gateway as an operator runs it, over the real model, with a tap between the two. Nothing is free. */
export interface Scene {
  readonly gateway: GatewayProcess;
  readonly site: GatewaySite;
  readonly database: TestDatabase;
  readonly tap: Tap;
  close(): Promise<void>;
}

export async function openScene(): Promise<Scene> {
  const tap = await startTap(process.env[MODEL_SERVER_VARIABLE] ?? '');
  const database = await createTestDatabase();
  const served = { baseUrl: tap.baseUrl, model: SERVED_MODEL, prices: PRICES, tier: 'cheap' as const, contextWindow: CONTEXT_TOKENS };
  const common = { ...served, capField: 'max_tokens' as const, remoteImages: false, allowParameters: [] };
  const deployments: DeploymentConfig[] = [
    { ...common, id: 'gemma', maxOutputTokens: 256 },
    { ...common, id: 'gemma-text', maxOutputTokens: 256, wire: 'openai-completions' },
    { ...common, id: 'gemma-embed', maxOutputTokens: 1, wire: 'openai-embeddings' },
  ];
  const env = { DATABASE_URL: database.connectionString, FREE_TIER_REQUESTS: '0' };
  const site = createSite({ deployments, env });
  const gateway = await site.start();
  return {
    gateway,
    site,
    database,
    tap,
    async close() {
      await site.close();
      await database.drop();
      await tap.close();
    },
  };
}

/** What the model server itself counted in a JSON answer. */
export function countedBy({ answer }: Tapped): { promptTokens: number; completionTokens: number } {
  const { usage } = JSON.parse(answer) as { usage: { prompt_tokens: number; completion_tokens: number } };
  return { promptTokens: usage.prompt_tokens, completionTokens: usage.completion_tokens };
}

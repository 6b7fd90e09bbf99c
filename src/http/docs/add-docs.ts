import type { Express } from 'express';
import type { Config } from '../../config/config.ts';
import { addRoute, type Operation } from '../server/operation.ts';
import { DOCS_OPERATIONS } from './docs-operations.ts';
import { openApiHandler } from './openapi-handler.ts';

export interface DocsDeps {
  config: Pick<Config, 'PUBLIC_URL'>;
  /** Of this gateway, as it is configured: asked for when somebody first reads of them. */
  operations: () => readonly Operation[];
}

/** Adds what describes the gateway, to people and to programs. */
export function addDocs(app: Express, deps: DocsDeps): void {
  addRoute(app, DOCS_OPERATIONS.openApi, openApiHandler(deps));
}

import type { Express } from 'express';
import type { Config } from '../../config/config.ts';
import type { Models } from '../../models/models.ts';
import { VERSION } from '../api/status.ts';
import type { Pages } from '../pages/pages.ts';
import { addRoute, type Operation } from '../server/operation.ts';
import { DOCS_OPERATIONS } from './docs-operations.ts';
import { docsPages } from './docs-pages.ts';
import { llmsText } from './llms-text.ts';
import { openApiDocument, type OpenApiDocument } from './openapi-document.ts';
import { openApiHandler } from './openapi-handler.ts';

export interface DocsRoutesDeps {
  config: Pick<Config, 'PUBLIC_URL' | 'markupBasisPoints'>;
  pages: Pages;
  models: Models;
  /** Of this gateway, as it is configured: asked for when somebody first reads of them. */
  operations: () => readonly Operation[];
}

export interface DocsDeps extends DocsRoutesDeps {
  document: () => OpenApiDocument;
}

/** Adds what describes the gateway, to people and to programs. */
export function addDocs(app: Express, given: DocsRoutesDeps): void {
  let made: OpenApiDocument | undefined;
  // Once, when the first one asks: it takes a tenth of a second.
  const deps: DocsDeps = { ...given, document: () => (made ??= openApiDocument(given.operations(), VERSION)) };
  const pages = docsPages(deps);
  addRoute(app, DOCS_OPERATIONS.openApi, openApiHandler(deps));
  addRoute(app, DOCS_OPERATIONS.llms, llmsText(deps));
  addRoute(app, DOCS_OPERATIONS.start, pages.start);
  addRoute(app, DOCS_OPERATIONS.errors, pages.errors);
  addRoute(app, DOCS_OPERATIONS.reference, pages.reference);
  addRoute(app, DOCS_OPERATIONS.group, pages.group);
  addRoute(app, DOCS_OPERATIONS.guide, pages.guide);
}

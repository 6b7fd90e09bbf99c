import { describe, expect, it } from '@jest/globals';
import { Validator } from '@seriousme/openapi-schema-validator';
import { createApp, type AppDeps } from '../../../src/app.ts';
import { ERRORS } from '../../../src/errors.ts';
import { openApiDocument, openApiPath } from '../../../src/http/docs/openapi-document.ts';
import { Turns } from '../../../src/http/payment/turns.ts';
import { routesOf } from '../../../src/http/server/method-not-allowed.ts';
import { SimulatedWallet } from '../../../src/lightning/simulated/simulated.ts';
import { INFERENCE_ROUTES, OPERATIONS, operationsOf } from '../../../src/routes.ts';
import { testConfig } from '../../support/gateway.ts';

/** An app that has every route. */
const wallet: unknown = Object.create(SimulatedWallet.prototype);
const config = testConfig({ env: { ADMIN_TOKEN: 'the-token-of-an-operator' } });
const metrics = { contentType: 'text/plain', text: () => Promise.resolve('') };
const app = createApp({ config, turns: new Turns(), wallet, lnurl: {}, metrics } as AppDeps);
const routes = routesOf(app);
const named = (path: string, method: string) => `${method.toUpperCase()} ${path}`;
const served = [...routes].flatMap(([path, methods]) =>
  [...methods].filter((method) => method !== 'HEAD').map((method) => named(path, method)),
);

describe('the route table', () => {
  it('is what the app serves, no more and no less', () => {
    expect(OPERATIONS.map(({ path, method }) => named(path, method)).toSorted()).toEqual(served.toSorted());
  });

  it('names every operation once', () => {
    const ids = OPERATIONS.map(({ id }) => id);
    expect(ids).toEqual([...new Set(ids)]);
  });

  it('has one line for each', () => {
    for (const { summary } of OPERATIONS) expect(summary).toMatch(/^[A-Z\W].{5,}[^.]$/);
  });
});

describe('the document', () => {
  const document = openApiDocument(operationsOf(routes), '1.2.3');
  const paths = document.paths ?? {};

  it('has every operation', () => {
    const told = Object.entries(paths).flatMap(([path, item]) => Object.keys(item).map((method) => named(path, method)));
    expect(told.toSorted()).toEqual(OPERATIONS.map(({ path, method }) => named(openApiPath(path), method)).toSorted());
  });

  it('is valid OpenAPI 3.1, and every reference in it leads somewhere', async () => {
    const validator = new Validator();
    expect(await validator.validate(structuredClone(document) as unknown as Record<string, unknown>)).toMatchObject({ valid: true });
    expect(validator.version).toBe('3.1');
    const text = JSON.stringify(document);
    const references = new Set([...text.matchAll(/"\$ref":"#\/([^"]+)"/g)].map(([, at = '']) => at));
    expect(references.size).toBeGreaterThan(50);
    for (const reference of references) {
      let found: unknown = document;
      for (const step of reference.split('/')) found = (found as Record<string, unknown> | undefined)?.[step];
      expect([reference, found]).toEqual([reference, expect.anything()]);
    }
  });

  it('has an example of every body and of every error, each as its schema says', () => {
    for (const { id, body, answers } of OPERATIONS) {
      const contents = [body?.content, ...Object.values(answers).map(({ content }) => content)].flatMap((content) =>
        Object.values(content ?? {}),
      );
      for (const { schema, example } of contents) {
        const fault = example === undefined ? undefined : schema.safeParse(example).error?.message;
        expect([id, fault]).toEqual([id, undefined]);
      }
      const json = body?.content['application/json'];
      expect([id, json === undefined || json.example !== undefined]).toEqual([id, true]);
    }
    for (const code of Object.keys(ERRORS)) expect(document.components?.examples).toHaveProperty([code]);
  });

  it('knows the fields of every wire by its own table: no refused one, and all others', () => {
    for (const { path, surface } of INFERENCE_ROUTES) {
      const row = OPERATIONS.find((operation) => operation.path === path);
      const { schema } = row?.body?.content['application/json'] ?? {};
      const refused = [...(row?.description?.matchAll(/`(\w+)`/g) ?? [])].map(([, name = '']) => name);
      expect([path, surface.operation === 'embed' || surface.wire === 'openai-completions' || refused.length > 3]).toEqual([path, true]);
      for (const name of refused) expect(schema?.safeParse({ [name]: 1 }).error?.message).toContain(`Unrecognized key: \\"${name}\\"`);
      expect(schema?.safeParse({ routing: { quality: 'best' } }).error?.message).toContain('quality');
    }
  });
});

import { describe, expect, it } from '@jest/globals';
import { createApp, type AppDeps } from '../../../src/app.ts';
import { openApiDocument, openApiPath } from '../../../src/http/docs/openapi-document.ts';
import { Turns } from '../../../src/http/payment/turns.ts';
import { routesOf } from '../../../src/http/server/method-not-allowed.ts';
import { SimulatedWallet } from '../../../src/lightning/simulated/simulated.ts';
import { OPERATIONS, operationsOf } from '../../../src/routes.ts';
import { testConfig } from '../../support/gateway.ts';

/** An app that has every route. */
const wallet: unknown = Object.create(SimulatedWallet.prototype);
const config = testConfig({ env: { ADMIN_TOKEN: 'the-token-of-an-operator' } });
const app = createApp({ config, turns: new Turns(), wallet, lnurl: {} } as AppDeps);
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
});

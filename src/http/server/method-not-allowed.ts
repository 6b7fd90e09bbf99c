import type { Express } from 'express';
import { GatewayError } from '../../errors.ts';

/** What is read of Express's own table of routes. */
interface Layer {
  /** True for what is mounted at the root. */
  slash?: boolean;
  route?: { path: string | string[]; methods: Record<string, boolean> };
  handle?: { stack?: Layer[] };
}

/**
 * Answers 405 with `Allow` on every path that has a route, for the methods it has none for. Taken from the routes
 * themselves, so that none can be forgotten. Call it after all routes are there.
 */
export function refuseOtherMethods(app: Express): void {
  for (const [path, methods] of routesOf(app)) {
    if (methods.has('GET')) methods.add('HEAD');
    const Allow = [...methods].join(', ');
    app.route(path).all(() => {
      throw new GatewayError('method_not_allowed', { headers: { Allow } });
    });
  }
}

/** The methods of every path that has a route, but for what answers them all. */
export function routesOf(app: Express): Map<string, Set<string>> {
  return collect((app.router as unknown as { stack: Layer[] }).stack, new Map());
}

function collect(layers: readonly Layer[], routes: Map<string, Set<string>>): Map<string, Set<string>> {
  for (const { route, handle, slash } of layers) {
    for (const path of route && !route.methods['_all'] ? [route.path].flat() : []) {
      const methods = routes.get(path) ?? new Set();
      for (const method of Object.keys(route?.methods ?? {})) methods.add(method.toUpperCase());
      routes.set(path, methods);
    }
    if (!route && slash && handle?.stack) collect(handle.stack, routes);
  }
  return routes;
}

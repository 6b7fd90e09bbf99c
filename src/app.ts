import express, { type Express } from 'express';
import type { ApiKeys } from './accounts/api-keys.ts';
import type { KeyAuthenticator } from './accounts/key-authenticator.ts';
import type { CapacityWeights } from './capacity/capacity-weights.ts';
import type { Config } from './config/config.ts';
import type { Pool } from './db/postgres.ts';
import { GatewayError } from './errors.ts';
import type { Funding } from './funding.ts';
import type { Gateway } from './gateway.ts';
import { ESTIMATE_ROUTE, INFERENCE_ROUTES, surfaceOf } from './routes.ts';
import { refuseUpgrades } from './http/server/refuse-upgrades.ts';
import { Assets } from './http/pages/assets.ts';
import { addConsole } from './http/console/console-routes.ts';
import { errorPage } from './http/pages/error-page.ts';
import { Pages } from './http/pages/pages.ts';
import { requireKey, type Authenticate } from './http/payment/authenticate.ts';
import { crossOrigin } from './http/server/cross-origin.ts';
import { countTokensHandler } from './http/api/count-tokens.ts';
import { addMcp } from './http/mcp/mcp.ts';
import { payWithPlayMoney } from './http/api/dev-lightning.ts';
import { discovery } from './http/api/discovery.ts';
import { errorResponse } from './http/server/error-response.ts';
import { invoicePageHandlers } from './http/pages/invoice-page.ts';
import { statusPageHandler } from './http/pages/status-page.ts';
import { keyHandlers } from './http/api/keys.ts';
import { refuseOtherMethods } from './http/server/method-not-allowed.ts';
import { modelRoutes } from './http/api/models.ts';
import { addLnurl } from './http/lnurl/add-lnurl.ts';
import { pricingHandler } from './http/api/pricing.ts';
import { providersHandler } from './http/api/providers.ts';
import { reportHandlers } from './http/api/reports.ts';
import { routerProfilesHandler } from './http/api/router-profiles.ts';
import { requestId } from './http/server/request-id.ts';
import { statusHandlers, VERSION, type StatusHandlers } from './http/api/status.ts';
import type { Turns } from './http/payment/turns.ts';
import { walletHandlers } from './http/api/wallet.ts';
import { walletReportHandlers } from './http/api/wallet-reports.ts';
import { withdrawHandlers } from './http/api/withdraw.ts';
import { SimulatedWallet } from './lightning/simulated/simulated.ts';
import type { Wallet } from './lightning/wallet.ts';
import type { Logger } from './log.ts';
import { cheapestThousandTokens } from './pricing/cheapest.ts';
import type { ExchangeRate } from './pricing/exchange-rate.ts';
import type { FleetHealth } from './routing/fleet-health.ts';
import type { RoutingView } from './routing/view.ts';
import type { Models } from './models/models.ts';
import type { Withdrawing } from './withdrawing.ts';

export interface AppDeps {
  config: Config;
  log: Logger;
  pool: Pool;
  /** Connections for what takes a while, so that nothing else waits behind it, and the accounts' turns at them. */
  reportPool: Pool;
  turns: Turns;
  /** A connection that tells how the database is, whatever waits for the others. */
  probePool: Pool;
  /** How long the status paths wait for the node; as they have it where left out. */
  nodeDeadlineMs?: number;
  authenticate: Authenticate;
  keys: Pick<KeyAuthenticator, 'authenticate'>;
  apiKeys: ApiKeys;
  gateway: Pick<Gateway, 'answer' | 'estimate'>;
  recorder: { flush(): Promise<void> };
  models: Models;
  exchangeRate: ExchangeRate;
  health: FleetHealth;
  capacity: Pick<CapacityWeights, 'status'>;
  wallet: Wallet;
  funding: Funding;
  withdrawing: Withdrawing;
}

/** The whole route table. Every path that can reach a provider goes through `gateway`, which authenticates by itself. */
export function createApp(deps: AppDeps): Express {
  const { config, log, authenticate, gateway } = deps;
  const key = requireKey(authenticate);
  const keys = keyHandlers(deps);
  const reports = reportHandlers({ ...deps, pool: deps.reportPool });
  const walletReports = walletReportHandlers({ ...deps, pool: deps.reportPool, thousandTokensMsat: () => thousandTokens(deps) });
  const healthOf: RoutingView['healthOf'] = (deployment) => deps.health.healthOf(deployment);
  const models = modelRoutes({ models: deps.models, markupBasisPoints: config.markupBasisPoints });
  const status = statusHandlers({ ...deps, pool: deps.probePool });
  const wallet = walletHandlers(deps);
  const withdrawals = withdrawHandlers(deps);
  const simulated = simulatedOf(deps);
  const app = bareApp(config);

  const cors = crossOrigin(config.CORS_ORIGINS);

  // First, so that nothing else is gone through for them; the gateway gives their requests an id by itself.
  for (const route of [...INFERENCE_ROUTES, ESTIMATE_ROUTE]) {
    app.post(route.path, cors, (req, res) => {
      res.locals['surface'] = route.surface;
      return gateway.answer(req, res, route);
    });
  }

  app.use((req, res, next) => {
    res.locals['surface'] = surfaceOf(req.path);
    next();
  });
  app.use(requestId);
  app.use(['/v1', '/api', '/l402'], cors);

  app.use(['/v1/responses', '/l402/v1/responses'], refuseUpgrades);
  app.post('/v1/messages/count_tokens', key, countTokensHandler(deps));
  app.get('/v1/models', key, models.list);
  app.get('/v1/models/*id', key, models.show);
  app.get('/v1/providers', key, providersHandler({ ...deps, healthOf }));
  app.get('/v1/router/profiles', key, routerProfilesHandler({ ...deps, healthOf }));
  app.get('/v1/pricing/models', key, pricingHandler({ ...deps, markupBasisPoints: config.markupBasisPoints }));

  app.post('/api/keys', keys.create);
  app.get('/api/keys', key, keys.list);
  app.patch('/api/keys/:id', key, keys.change);
  app.delete('/api/keys/:id', key, keys.revoke);
  app.post('/api/keys/:id/rotate', key, keys.rotate);

  app.post('/api/wallet/fund', key, wallet.fund);
  app.get('/api/wallet/status', key, wallet.status);
  app.post('/api/wallet/withdraw', key, withdrawals.withdraw);
  app.get('/api/wallet/withdraw', key, withdrawals.status);
  app.get('/api/wallet/balance', key, deps.turns.limit(walletReports.balance));
  app.get('/api/wallet/transactions', key, deps.turns.limit(walletReports.transactions));
  app.get('/api/report', key, deps.turns.limit(reports.report));
  app.get('/api/income', key, deps.turns.limit(reports.income));
  app.get('/api/requests', key, deps.turns.limit(reports.requests));
  app.get('/api/requests/:id', key, deps.turns.limit(reports.receipt));

  const assets = new Assets();
  const pages = pagesOf(deps, assets);
  addPages(app, deps, status, assets);
  addConsole(app, { ...deps, pages });
  addLnurl(app, deps);
  addMcp(app, { ...deps, thousandTokensMsat: () => thousandTokens(deps) });
  if (simulated) app.post('/dev/lightning/pay', payWithPlayMoney({ wallet: simulated, config }));

  app.get('/.well-known/l402', discovery({ ...deps, inferenceRoutes: INFERENCE_ROUTES }));
  app.get(['/health', '/api/health'], status.health);
  app.get('/ready', status.ready);
  app.get('/api/status', status.status);

  refuseOtherMethods(app);
  app.use(() => {
    throw new GatewayError('not_found');
  });
  app.use('/console', errorPage(pages, log));
  app.use(errorResponse(log, config.CONTACT));
  return app;
}

/** The pages for people, and the files that they load. */
function addPages(app: Express, deps: AppDeps, status: Pick<StatusHandlers, 'report'>, assets: Assets): void {
  const simulated = simulatedOf(deps);
  const invoice = invoicePageHandlers({ ...deps, assets, simulated });
  app.get('/invoice/:id', invoice.page);
  app.get('/invoice/:id/qr.svg', invoice.svg);
  app.get('/invoice/:id/qr.png', invoice.png);
  app.get('/invoice/:id/qr.txt', invoice.text);
  app.get('/invoice/:id/events', invoice.events);
  if (simulated) app.post('/invoice/:id/pay', invoice.pay);
  app.get('/status', statusPageHandler({ report: () => status.report(), assets }));
  app.get('/assets/:name', assets.handler);
}

function pagesOf({ wallet, config }: AppDeps, assets: Assets): Pages {
  const { backend, network } = wallet;
  return new Pages({ assets, simulated: backend === 'simulated', version: VERSION, network, contact: config.CONTACT });
}

function simulatedOf({ wallet }: AppDeps): SimulatedWallet | null {
  return wallet instanceof SimulatedWallet ? wallet : null;
}

/** Express without what costs time on every request and serves nobody here. */
function bareApp(config: Config): Express {
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');
  app.enable('case sensitive routing');
  app.set('trust proxy', config.TRUSTED_PROXIES.length > 0 ? config.TRUSTED_PROXIES : false);
  return app;
}

/** Null where there is no exchange rate, or nothing but free models. */
function thousandTokens({ models, config, exchangeRate }: AppDeps) {
  const cards = models.list().map(({ rateCard }) => rateCard);
  try {
    return cheapestThousandTokens(cards, config.markupBasisPoints, exchangeRate.current());
  } catch {
    return null;
  }
}

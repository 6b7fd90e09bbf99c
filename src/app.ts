import express, { type Express, type RequestHandler } from 'express';
import type { ApiKeys } from './accounts/api-keys.ts';
import type { WalletSignIns } from './accounts/wallet-sign-ins.ts';
import type { KeyAuthenticator } from './accounts/key-authenticator.ts';
import type { CapacityWeights } from './capacity/capacity-weights.ts';
import type { Autopay } from './autopay/autopay.ts';
import type { Config } from './config/config.ts';
import type { Pool } from './db/postgres.ts';
import { GatewayError } from './errors.ts';
import type { Funding } from './funding.ts';
import type { Gateway } from './gateway.ts';
import { ESTIMATE_ROUTE, INFERENCE_ROUTES, operationsOf, PLAYGROUND_ESTIMATE_ROUTE, surfaceOf } from './routes.ts';
import { refuseUpgrades } from './http/server/refuse-upgrades.ts';
import { Assets } from './http/pages/assets.ts';
import { addAdmin } from './http/admin/admin-routes.ts';
import { playgroundPayer } from './http/console/playground-payer.ts';
import { addConsole } from './http/console/console-routes.ts';
import { errorPage, errorPageForBrowsers } from './http/pages/error-page.ts';
import { Pages } from './http/pages/pages.ts';
import { requireKey, type Authenticate } from './http/payment/authenticate.ts';
import { crossOrigin } from './http/server/cross-origin.ts';
import { DISCOVERY_OPERATION } from './http/api/agent-operations.ts';
import { KEY_OPERATIONS } from './http/api/key-operations.ts';
import { MODEL_OPERATIONS } from './http/api/model-operations.ts';
import { REPORT_OPERATIONS } from './http/api/report-operations.ts';
import { metricsHandler, METRICS_OPERATION, type MetricsText } from './http/api/metrics.ts';
import { PLAY_MONEY_OPERATION, STATUS_OPERATIONS } from './http/api/status-operations.ts';
import { WALLET_OPERATIONS } from './http/api/wallet-operations.ts';
import { addDocs } from './http/docs/add-docs.ts';
import { COUNT_TOKENS_OPERATION } from './http/docs/inference-operations.ts';
import { PAGE_OPERATIONS } from './http/pages/page-operations.ts';
import { addRoute } from './http/server/operation.ts';
import { OperatorGuesses } from './http/server/operator-guesses.ts';
import { autopayHandlers } from './http/api/autopay.ts';
import { AUTOPAY_OPERATIONS } from './http/api/autopay-operations.ts';
import { countTokensHandler } from './http/api/count-tokens.ts';
import { addMcp } from './http/mcp/mcp.ts';
import { payWithPlayMoney } from './http/api/dev-lightning.ts';
import { discovery } from './http/api/discovery.ts';
import { errorResponse } from './http/server/error-response.ts';
import { invoicePageHandlers } from './http/pages/invoice-page.ts';
import { statusPageHandler } from './http/pages/status-page.ts';
import { KeyMaking } from './http/api/key-making.ts';
import { keyHandlers } from './http/api/keys.ts';
import { refuseOtherMethods, routesOf } from './http/server/method-not-allowed.ts';
import { modelRoutes } from './http/api/models.ts';
import { addLnurl } from './http/lnurl/add-lnurl.ts';
import { pricingHandler } from './http/api/pricing.ts';
import { providersHandler } from './http/api/providers.ts';
import { reportHandlers } from './http/api/reports.ts';
import { routerProfilesHandler } from './http/api/router-profiles.ts';
import { requestId } from './http/server/request-id.ts';
import { statusHandlers, VERSION, type StatusHandlers } from './http/api/status.ts';
import type { Payers } from './http/payment/payers.ts';
import type { Turns } from './http/payment/turns.ts';
import { walletHandlers } from './http/api/wallet.ts';
import { walletReportHandlers } from './http/api/wallet-reports.ts';
import { withdrawHandlers } from './http/api/withdraw.ts';
import type { Lnurl } from './lnurl/open-lnurl.ts';
import { SimulatedWallet } from './lightning/simulated/simulated.ts';
import type { Wallet } from './lightning/wallet.ts';
import type { Logger } from './log.ts';
import type { Observe } from './observation.ts';
import { cheapestThousandTokens } from './pricing/cheapest.ts';
import type { ExchangeRate } from './pricing/exchange-rate.ts';
import type { FleetHealth } from './routing/fleet-health.ts';
import type { RoutingView } from './routing/view.ts';
import type { OperatorSettings } from './operator/operator-settings.ts';
import type { Models } from './models/models.ts';
import type { Withdrawing } from './withdrawing.ts';

export interface AppDeps {
  config: Config;
  log: Logger;
  observe: Observe;
  /** Absent where nobody may read them. */
  metrics?: MetricsText | undefined;
  pool: Pool;
  /** Connections for what takes a while, so that nothing else waits behind it, and the accounts' turns at them. */
  reportPool: Pool;
  turns: Turns;
  /** A connection that tells how the database is, whatever waits for the others. */
  probePool: Pool;
  /** How long the status paths wait for the node; as they have it where left out. */
  nodeDeadlineMs?: number;
  authenticate: Authenticate;
  payers: Pick<Payers, 'standFor'>;
  keys: Pick<KeyAuthenticator, 'authenticate'>;
  signIns: WalletSignIns;
  apiKeys: ApiKeys;
  gateway: Pick<Gateway, 'answer' | 'estimate'>;
  recorder: { flush(): Promise<void> };
  models: Models;
  exchangeRate: ExchangeRate;
  health: FleetHealth;
  capacity: Pick<CapacityWeights, 'status'>;
  wallet: Wallet;
  funding: Funding;
  settings: OperatorSettings;
  withdrawing: Withdrawing;
  lnurl: Lnurl;
  autopay: Autopay;
}

/** The whole route table. Every path that can reach a provider goes through `gateway`, which authenticates by itself. */
export function createApp(deps: AppDeps): Express {
  const { config, observe, authenticate } = deps;
  const key = requireKey(authenticate);
  const making = new KeyMaking(deps);
  const keys = keyHandlers({ ...deps, making });
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

  addInference(app, { ...deps, making }, cors);
  app.use((req, res, next) => {
    res.locals['surface'] = surfaceOf(req.path);
    next();
  });
  app.use(requestId);
  app.use(['/v1', '/api', '/l402'], cors);

  app.use(['/v1/responses', '/l402/v1/responses'], refuseUpgrades);
  addRoute(app, COUNT_TOKENS_OPERATION, key, countTokensHandler(deps));
  addRoute(app, MODEL_OPERATIONS.list, key, models.list);
  addRoute(app, MODEL_OPERATIONS.show, key, models.show);
  addRoute(app, MODEL_OPERATIONS.providers, key, providersHandler({ ...deps, healthOf }));
  addRoute(app, MODEL_OPERATIONS.profiles, key, routerProfilesHandler({ ...deps, healthOf }));
  addRoute(app, MODEL_OPERATIONS.pricing, key, pricingHandler({ ...deps, markupBasisPoints: config.markupBasisPoints }));

  addRoute(app, KEY_OPERATIONS.create, keys.create);
  addRoute(app, KEY_OPERATIONS.list, key, keys.list);
  addRoute(app, KEY_OPERATIONS.change, key, keys.change);
  addRoute(app, KEY_OPERATIONS.revoke, key, keys.revoke);
  addRoute(app, KEY_OPERATIONS.rotate, key, keys.rotate);

  addRoute(app, WALLET_OPERATIONS.fund, key, wallet.fund);
  addRoute(app, WALLET_OPERATIONS.status, key, wallet.status);
  addRoute(app, WALLET_OPERATIONS.withdraw, key, withdrawals.withdraw);
  addRoute(app, WALLET_OPERATIONS.withdrawal, key, withdrawals.status);
  addAutopay(app, deps, key);
  addRoute(app, WALLET_OPERATIONS.balance, key, deps.turns.limit(walletReports.balance));
  addRoute(app, WALLET_OPERATIONS.transactions, key, deps.turns.limit(walletReports.transactions));
  addRoute(app, REPORT_OPERATIONS.report, key, deps.turns.limit(reports.report));
  addRoute(app, REPORT_OPERATIONS.income, key, deps.turns.limit(reports.income));
  addRoute(app, REPORT_OPERATIONS.requests, key, deps.turns.limit(reports.requests));
  addRoute(app, REPORT_OPERATIONS.receipt, key, deps.turns.limit(reports.receipt));

  const assets = new Assets();
  const pages = pagesOf(deps, assets);
  const guesses = new OperatorGuesses(observe);
  addPages(app, deps, status, { assets, pages, guesses });
  addConsole(app, { ...deps, pages, making, thousandTokensMsat: () => thousandTokens(deps) });
  addAdmin(app, { ...deps, pages, guesses, version: VERSION });
  addLnurl(app, deps);
  addMcp(app, { ...deps, thousandTokensMsat: () => thousandTokens(deps) });
  if (simulated) addRoute(app, PLAY_MONEY_OPERATION, payWithPlayMoney({ wallet: simulated, config }));

  addRoute(app, DISCOVERY_OPERATION, discovery({ ...deps, inferenceRoutes: INFERENCE_ROUTES.filter(({ session }) => !session) }));
  addStatus(app, status);

  addDocs(app, { ...deps, pages, operations: () => operationsOf(routesOf(app)) });

  refuseOtherMethods(app);
  app.use(() => {
    throw new GatewayError('not_found');
  });
  const page = errorPage(pages, observe);
  app.use(['/console', '/admin', '/docs'], page);
  app.use(errorPageForBrowsers(page));
  app.use(errorResponse(observe, config.CONTACT));
  return app;
}

function addAutopay(app: Express, deps: AppDeps, key: RequestHandler): void {
  const autopay = autopayHandlers(deps);
  addRoute(app, AUTOPAY_OPERATIONS.store, key, autopay.store);
  addRoute(app, AUTOPAY_OPERATIONS.show, key, autopay.show);
  addRoute(app, AUTOPAY_OPERATIONS.remove, key, autopay.remove);
}

/** The paths that reach providers. First, so that nothing else is gone through for them; the gateway gives their requests an id by itself. */
function addInference(app: Express, deps: AppDeps & { making: KeyMaking }, cors: RequestHandler): void {
  const ofSession = playgroundPayer(deps);
  for (const route of [...INFERENCE_ROUTES, ESTIMATE_ROUTE, PLAYGROUND_ESTIMATE_ROUTE]) {
    const surface: RequestHandler = (_req, res, next) => {
      res.locals['surface'] = route.surface;
      next();
    };
    app.post(route.path, surface, route.session ? ofSession : cors, (req, res) => deps.gateway.answer(req, res, route));
  }
}

function addStatus(app: Express, status: StatusHandlers): void {
  addRoute(app, STATUS_OPERATIONS.health, status.health);
  addRoute(app, STATUS_OPERATIONS.apiHealth, status.health);
  addRoute(app, STATUS_OPERATIONS.ready, status.ready);
  addRoute(app, STATUS_OPERATIONS.status, status.status);
}

/** The pages for people and the files that they load, and what Prometheus reads. */
function addPages(
  app: Express,
  deps: AppDeps,
  status: Pick<StatusHandlers, 'report'>,
  { assets, pages, guesses }: { assets: Assets; pages: Pages; guesses: OperatorGuesses },
): void {
  const simulated = simulatedOf(deps);
  const invoice = invoicePageHandlers({ ...deps, assets, simulated });
  addRoute(app, PAGE_OPERATIONS.invoice, invoice.page);
  addRoute(app, PAGE_OPERATIONS.svg, invoice.svg);
  addRoute(app, PAGE_OPERATIONS.png, invoice.png);
  addRoute(app, PAGE_OPERATIONS.text, invoice.text);
  addRoute(app, PAGE_OPERATIONS.events, invoice.events);
  if (simulated) addRoute(app, PAGE_OPERATIONS.pay, invoice.pay);
  addRoute(app, PAGE_OPERATIONS.status, statusPageHandler({ report: () => status.report(), pages }));
  addRoute(app, PAGE_OPERATIONS.asset, assets.handler);
  if (deps.metrics) addRoute(app, METRICS_OPERATION, metricsHandler(deps.metrics, deps.config.ADMIN_TOKEN, guesses));
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

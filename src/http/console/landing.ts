import type { Request, RequestHandler, Response } from 'express';
import { z } from 'zod';
import type { Sessions } from '../../accounts/sessions.ts';
import type { Config } from '../../config/config.ts';
import { GatewayError } from '../../errors.ts';
import type { KeyMaking } from '../api/key-making.ts';
import { keyBody } from '../api/keys.ts';
import type { PricingDeps } from '../api/pricing.ts';
import { VERSION } from '../api/status.ts';
import { span } from '../pages/format.ts';
import type { Pages } from '../pages/pages.ts';
import { originOf } from '../server/origin.ts';
import { formFields } from './form.ts';
import { priceList, type PriceList } from './price-list.ts';
import { sendSecret } from './secret-page.ts';
import { sessionTokenOf, setSessionCookie } from './session-cookie.ts';
import { networkOf } from '../server/sender-network.ts';
import { keylessSnippet, snippets } from './snippets.ts';

export interface LandingDeps extends Omit<PricingDeps, 'markupBasisPoints'> {
  pages: Pages;
  making: KeyMaking;
  sessions: Sessions;
  config: Pick<Config, 'FREE_TIER_REQUESTS' | 'PUBLIC_URL' | 'WITHDRAWALS' | 'markupBasisPoints'>;
}

/** The fields of the form that makes a key. */
export const startFields = z.object({ label: z.string().trim().optional() });

/** The handlers of the landing page, the list of all models, and the first key. Nothing but the key asks the database. */
export function landingHandlers(deps: LandingDeps): Record<'landing' | 'models' | 'start', RequestHandler> {
  const { pages, making, sessions, config } = deps;
  const prices = (query: Request['query']): Promise<PriceList> =>
    priceList({ ...deps, markupBasisPoints: config.markupBasisPoints }, query);

  async function show(req: Request, res: Response, problem: { text: string; label: string; status: number } | null): Promise<void> {
    const origin = originOf(req, config.PUBLIC_URL);
    const data = {
      problem,
      prices: await prices({ ...req.query, page: undefined }),
      snippets: snippets(origin),
      keyless: keylessSnippet(origin),
      freeRequests: config.FREE_TIER_REQUESTS,
      withdrawals: config.WITHDRAWALS,
    };
    res.vary('Accept');
    pages.send(res, 'console/landing', { title: 'Pay-per-request AI', public: problem === null }, data, problem?.status);
  }

  return {
    /** A page for browsers, links for programs. */
    async landing(req, res) {
      if (req.accepts(['json', 'html']) === 'html') return show(req, res, null);
      res.vary('Accept').set('Cache-Control', 'public, max-age=60');
      res.json(linksOf(originOf(req, config.PUBLIC_URL), { simulated: pages.simulated, freeRequests: config.FREE_TIER_REQUESTS }));
    },

    async models(req, res) {
      const list = await prices(req.query);
      pages.send(res, 'console/models', { title: 'Models and prices', public: true }, { prices: list });
    },

    /**
     * A new account and its owner key in one press, and a session with it. A browser that is signed in has its key: so a reload, which sends
     * the form again, makes no second one.
     */
    async start(req, res) {
      const session = await sessions.find(sessionTokenOf(req, config));
      if (typeof session !== 'string') {
        const data = { owner: session.key.role === 'owner', keyId: session.how === 'key' ? session.key.id : null };
        return pages.send(res, 'console/signed-in-already', { title: 'You have a key' }, data, 409);
      }
      const { label = '' } = formFields(req, startFields);
      try {
        const given = label === '' ? {} : formFields({ body: { label } }, keyBody.pick({ label: true }));
        const issued = await making.newAccount(req, given);
        setSessionCookie(req, res, config, await sessions.start(issued.key, networkOf(req)));
        await sendSecret(deps, req, res, issued, { how: 'made', done: '/console', owner: true });
      } catch (error) {
        if (!(error instanceof GatewayError) || res.headersSent) throw error;
        const { retryAfter } = error.detail;
        if (retryAfter !== undefined) res.set('Retry-After', String(retryAfter));
        const text = error.code === 'rate_limit_exceeded' ? `${error.message}. Wait ${span((retryAfter ?? 1) * 1000)}.` : error.message;
        await show(req, res, { text, label, status: error.status });
      }
    },
  };
}

/** What a program finds at `/`. */
function linksOf(origin: string, { simulated, freeRequests }: { simulated: boolean; freeRequests: number }) {
  return {
    name: 'pura',
    version: VERSION,
    simulated,
    freeRequests,
    links: {
      openaiBaseUrl: `${origin}/v1`,
      anthropicBaseUrl: origin,
      withoutKey: `${origin}/l402/v1`,
      makeKey: `${origin}/api/keys`,
      models: `${origin}/v1/models`,
      mcp: `${origin}/mcp`,
      openapi: `${origin}/openapi.json`,
      docs: `${origin}/docs`,
      llms: `${origin}/llms.txt`,
      l402: `${origin}/.well-known/l402`,
      status: `${origin}/api/status`,
      console: `${origin}/console`,
    },
  };
}

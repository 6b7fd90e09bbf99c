import type { Request, RequestHandler, Response } from 'express';
import { z } from 'zod';
import type { Sessions } from '../../accounts/sessions.ts';
import type { Config } from '../../config/config.ts';
import type { KeyMaking } from '../api/key-making.ts';
import { keyBody } from '../api/keys.ts';
import type { PricingDeps } from '../api/pricing.ts';
import { VERSION } from '../api/status.ts';
import type { Pages } from '../pages/pages.ts';
import { originOf } from '../server/origin.ts';
import { sendFirstKey, toldOfKey, whyNoKey } from './first-key.ts';
import { formFields } from './form.ts';
import { priceList, type PriceList } from './price-list.ts';
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
  const { pages, config } = deps;
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

    /** A new account and its owner key in one press, and a session with it. */
    async start(req, res) {
      if (await toldOfKey(deps, req, res)) return;
      const { label = '' } = formFields(req, startFields);
      try {
        const given = label === '' ? {} : formFields({ body: { label } }, keyBody.pick({ label: true }));
        await sendFirstKey(deps, req, res, { given });
      } catch (error) {
        await show(req, res, { ...whyNoKey(res, error), label });
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

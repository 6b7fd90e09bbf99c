import type { Express, Request, RequestHandler, Response } from 'express';
import { z } from 'zod';
import type { ApiKeys } from '../../accounts/api-keys.ts';
import { msat } from '../../amount.ts';
import type { Pool } from '../../db/postgres.ts';
import { GatewayError } from '../../errors.ts';
import type { Gateway } from '../../gateway.ts';
import { UNRECORDED } from '../../ledger/spend.ts';
import type { Observe } from '../../observation.ts';
import { readRequest } from '../../records/recorded-requests.ts';
import { plainAnswer, plainChat } from '../../wires/openai-chat/plain-chat.ts';
import type { KeyMaking } from '../api/key-making.ts';
import { written } from '../api/reports.ts';
import { formFields } from '../pages/form.ts';
import type { Pages } from '../pages/pages.ts';
import { satsExact, tokens, usd } from '../pages/format.ts';
import type { Payers } from '../payment/payers.ts';
import { errorHeaders, noteRefusal, publicError } from '../server/error-response.ts';
import { addRoute } from '../server/operation.ts';
import { RefusalLog } from '../server/refusal-log.ts';
import type { Guards } from './guards.ts';
import { askInOwnName, type OwnAnswer } from './own-question.ts';
import { PLAYGROUND_OPERATIONS, playgroundFields, type PlaygroundFields } from './playground-operations.ts';
import { PlaygroundPage, type PlaygroundPageDeps, type Price, type Refused } from './playground-page.ts';
import { playgroundKey } from './playground-payer.ts';
import { PLAYGROUND_ROUTE } from './playground-route.ts';
import { isOwner, sessionOf } from './signed-in.ts';

export interface PlaygroundDeps extends PlaygroundPageDeps {
  pool: Pool;
  apiKeys: ApiKeys;
  making: KeyMaking;
  gateway: Pick<Gateway, 'answer' | 'estimate'>;
  payers: Pick<Payers, 'standFor'>;
  recorder: { flush(): Promise<void> };
  observe: Observe;
  pages: Pick<Pages, 'contact'>;
}

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** Adds the playground: its requests go the way of all requests (`PLAYGROUND_ROUTE`), and nothing said there is kept. */
export function addPlayground(app: Express, deps: PlaygroundDeps, { form, session }: Guards): void {
  const { pool, recorder } = deps;
  const page = new PlaygroundPage(deps);

  addRoute(app, PLAYGROUND_OPERATIONS.show, session, async (req, res) => {
    const { model, key } = req.query;
    const text = (value: unknown, longest: number) => (typeof value === 'string' ? value.slice(0, longest) : undefined);
    await page.send(res, playgroundFields.parse({ model: text(model, 200), key: text(key, 100) }));
  });

  addRoute(app, PLAYGROUND_OPERATIONS.ask, form, session, sendForm(deps, page));

  addRoute(app, PLAYGROUND_OPERATIONS.charge, session, async (req, res) => {
    const who = sessionOf(res);
    const { id } = req.params;
    if (typeof id !== 'string' || !UUID.test(id)) throw new GatewayError('not_found');
    await written(recorder);
    const keyId = isOwner(who) ? null : who.key.id;
    const found = await readRequest(pool, { accountId: who.accountId, keyId }, id);
    res.set('Cache-Control', 'no-store');
    // The record follows the charge by a moment.
    if (!found || found.outcome === 'pending' || found.outcome === UNRECORDED)
      return void res.json({ pending: true, chargedMsat: null, line: '' });
    const { chargedMsat } = found;
    res.json({ pending: false, chargedMsat: Number(chargedMsat), line: chargeLine({ ...found, costUsd: found.costPicoUsd }) });
  });
}

/** The form without a script: one question, one answer, one charge; or what that would cost. */
function sendForm(deps: PlaygroundDeps, page: PlaygroundPage): RequestHandler {
  const { observe, pages } = deps;
  const refusals = new RefusalLog(observe);
  return async (req, res) => {
    const asked = formFields(req, playgroundFields);
    if (asked.message.trim() === '') {
      const refusal = { message: 'Write a message first.', code: 'invalid_request', invoiceId: null, status: 400 };
      return page.send(res, asked, { refusal });
    }
    if (asked.act === 'price') return page.send(res, asked, { prices: await pricesOf(deps, res, page, asked) });
    let answer: OwnAnswer | null;
    try {
      answer = await askOnce(deps, req, res, asked);
    } catch (thrown) {
      if (!(thrown instanceof GatewayError)) throw thrown;
      const error = publicError(thrown, pages.contact);
      refusals.write(error, res.locals['requestId'] as string | undefined);
      noteRefusal(res, error, observe);
      res.set(errorHeaders(error));
      return page.send(res, asked, { refusal: refusalOf(error.toJSON(), error.status) });
    }
    // Its asker has left.
    if (!answer) return;
    if (answer.status !== 200) return page.send(res, asked, { refusal: refusalOf(answer.body, answer.status) });
    const { text, ...counted } = plainAnswer(answer.body);
    const header = (name: string) => answer.headers.get(name) ?? null;
    const line = chargeLine({
      ...counted,
      chargedMsat: BigInt(header('x-pura-charged-msat') ?? 0),
      costUsd: Number(header('x-pura-cost') ?? 0),
      model: header('x-pura-model'),
      provider: header('x-pura-provider'),
      funding: header('x-pura-funding'),
    });
    await page.send(res, asked, { answer: { text, line, requestId: header('x-pura-request-id') } });
  };
}

async function askOnce(deps: PlaygroundDeps, req: Request, res: Response, asked: PlaygroundFields): Promise<OwnAnswer | null> {
  const { model, message, most } = asked;
  const key = await playgroundKey(deps, sessionOf(res), asked.key);
  const headers: Record<string, string> = most === '' ? {} : { 'x-pura-max-cost-sats': most };
  return askInOwnName(deps, req, res, { route: PLAYGROUND_ROUTE, key, chat: plainChat(model, message), headers });
}

const estimate = z.object({ estimatedCostMsat: z.int(), estimatedCostUsd: z.number(), maxCostMsat: z.int() });

/** What the message would cost on the model chosen, and on some others. Each question for a price counts as one of the key's requests. */
async function pricesOf(deps: PlaygroundDeps, res: Response, page: PlaygroundPage, { model, message, key: id }: PlaygroundFields) {
  const key = await playgroundKey(deps, sessionOf(res), id);
  const others = page.elsewhere(await page.models(key)).filter((name) => name !== model);
  const prices: Price[] = [];
  for (const name of [model, ...others]) {
    try {
      const told = estimate.parse(await deps.gateway.estimate(plainChat(name, message), key));
      prices.push({ model: name, ...told });
    } catch (error) {
      if (!(error instanceof GatewayError)) throw error;
      prices.push({ model: name, refusal: error.message });
    }
  }
  return prices;
}

const refused = z.object({
  error: z.object({
    message: z.string(),
    code: z.string().nullish(),
    funding: z.object({ invoiceId: z.string() }).optional().catch(undefined),
  }),
});

/** What an error object tells, the gateway's own or a provider's. */
function refusalOf(body: object, status: number): Refused {
  const told = refused.safeParse(body);
  if (!told.success) return { message: 'No answer came.', code: 'upstream_error', invoiceId: null, status };
  const { message, code, funding } = told.data.error;
  return { message, code: code ?? 'upstream_error', invoiceId: funding?.invoiceId ?? null, status };
}

/** The line under an answer. */
function chargeLine(told: {
  chargedMsat: bigint;
  costUsd: Parameters<typeof usd>[0];
  completionTokens: number;
  promptTokens: number;
  model: string | null;
  provider: string | null;
  funding: string | null;
}): string {
  const sats = told.funding === 'free' ? 'free' : `${satsExact(msat(told.chargedMsat))} sats`;
  const counts = `${tokens(told.completionTokens)} out, ${tokens(told.promptTokens)} in`;
  return `${sats} · ${usd(told.costUsd)} · ${counts} · ${told.model ?? 'none'} by ${told.provider ?? 'nobody'}`;
}

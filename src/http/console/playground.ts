import type { Express, Request, RequestHandler, Response } from 'express';
import { z } from 'zod';
import { listOf } from '../../list-of.ts';
import type { Pool } from '../../db/postgres.ts';
import { GatewayError } from '../../errors.ts';
import { msat } from '../../amount.ts';
import type { ExchangeRate } from '../../pricing/exchange-rate.ts';
import type { Models } from '../../models/models.ts';
import { UNRECORDED } from '../../ledger/spend.ts';
import { readRequest } from '../../records/recorded-requests.ts';
import { pricedModels } from '../api/pricing.ts';
import { written } from '../api/reports.ts';
import { formFields } from '../pages/form.ts';
import { satsExact, tokens, usd } from '../pages/format.ts';
import { addRoute, form as formOperation, json, page, text, type Operation } from '../server/operation.ts';
import type { ConsoleFrame } from './console-frame.ts';
import type { Guards } from './guards.ts';
import { isOwner, sessionOf } from './signed-in.ts';

export interface PlaygroundDeps {
  pool: Pool;
  frame: ConsoleFrame;
  models: Models;
  exchangeRate: ExchangeRate;
  recorder: { flush(): Promise<void> };
  config: { markupBasisPoints: bigint };
}

const PATH = '/console/playground';
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const DEMO = 'demo';
const LONGEST_MESSAGE = 50_000;

const fields = z.object({
  model: z.string().max(200).default('auto'),
  message: z.string().max(LONGEST_MESSAGE).default(''),
  most: z.string().trim().default(''),
});
type Fields = z.output<typeof fields>;

const charge = z.object({ pending: z.boolean(), chargedMsat: z.int().nullable(), line: z.string() });

/** The playground's page and what it asks for besides answers. */
export const PLAYGROUND_OPERATIONS = {
  show: page({
    id: 'showPlayground',
    path: PATH,
    summary: 'Ask a model, and see the charge',
    query: z.object({ model: z.string().optional() }),
  }),
  ask: formOperation({
    id: 'askOnce',
    path: PATH,
    summary: 'One question, one answer, one charge: without a script',
    fields,
    answers: { 200: text('The page with the answer.') },
    errors: ['invalid_request'],
  }),
  charge: {
    ...page({ id: 'showCharge', path: `${PATH}/charge/:id`, summary: 'What an answer that was stopped has cost' }),
    params: z.object({ id: z.string().meta({ description: "The request's id." }) }),
    answers: { 200: json('The charge, or that it is not settled yet.', charge) },
    errors: ['not_found'],
  },
} as const satisfies Record<string, Operation>;

interface Answered {
  readonly text: string;
  readonly line: string;
  readonly requestId: string | null;
}

interface Refused {
  readonly message: string;
  readonly code: string;
  readonly invoiceId: string | null;
  readonly status: number;
}

/** Adds the playground: its requests go the way of all requests (`/console/playground/chat`), and nothing said there is kept. */
export function addPlayground(app: Express, deps: PlaygroundDeps, { form, session }: Guards): void {
  const { pool, recorder } = deps;

  addRoute(app, PLAYGROUND_OPERATIONS.show, session, async (req, res) => {
    const { model } = req.query;
    await show(deps, res, fields.parse({ model: typeof model === 'string' ? model.slice(0, 200) : undefined }));
  });

  addRoute(app, PLAYGROUND_OPERATIONS.ask, form, session, askOnce(deps));

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
    const { chargedMsat, costPicoUsd, completionTokens, promptTokens, funding } = found;
    const line = chargeLine({ ...found, chargedMsat, costUsd: costPicoUsd, completionTokens, promptTokens, funding });
    res.json({ pending: false, chargedMsat: Number(chargedMsat), line });
  });
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

async function show(
  deps: PlaygroundDeps,
  res: Response,
  asked: Fields,
  outcome: { answer?: Answered; refusal?: Refused } = {},
): Promise<void> {
  const { frame, models, exchangeRate, config } = deps;
  const session = sessionOf(res);
  const { allowedModels } = session.key;
  const priced = await pricedModels({ models, exchangeRate, markupBasisPoints: config.markupBasisPoints }, { allowedModels });
  const listed = new Map(
    priced
      .filter(({ operation }) => operation === 'generate')
      .map((model) => {
        const { id, provider, pricing, msat_per_thousand: rates } = model;
        const sats = rates ? `, ${satsExact(msat(BigInt(rates.input)))} / ${satsExact(msat(BigInt(rates.output)))} sats` : '';
        const name = `${id}${provider === DEMO ? ' (demo, not a real model)' : ''}: ${usd(pricing.input / 1000)} / ${usd(pricing.output / 1000)}${sats}`;
        return [id, { id, name, output: rates?.output ?? null }];
      }),
  );
  const data = { ...outcome, asked, models: [...listed.values()], how: session.how, mayChoose: allowedModels === null };
  const title = outcome.answer ? 'Playground: the answer' : outcome.refusal ? 'Playground: no answer' : 'Playground';
  await frame.send(res, 'console/playground', { title, section: PATH, script: 'playground.js', status: outcome.refusal?.status }, data);
}

/** Asks the gateway itself, at the address that this very request came in by and with its cookie: as the page's script does. */
function askOnce(deps: PlaygroundDeps): RequestHandler {
  return async (req, res) => {
    const asked = formFields(req, fields);
    if (asked.message.trim() === '') {
      const refusal = { message: 'Write a message first.', code: 'invalid_request', invoiceId: null, status: 400 };
      return show(deps, res, asked, { refusal });
    }
    const answer = await fetch(`http://${placeOf(req)}${PATH}/chat`, {
      method: 'POST',
      headers: ownHeaders(req, asked),
      body: JSON.stringify({ model: asked.model, messages: [{ role: 'user', content: asked.message }], stream: false }),
    });
    const body = bodySchema.parse(await answer.json());
    const header = (name: string) => answer.headers.get(name);
    if (!answer.ok) {
      const { message = 'No answer came.', code = 'internal_error', funding } = body.error ?? {};
      return show(deps, res, asked, { refusal: { message, code, invoiceId: funding?.invoiceId ?? null, status: answer.status } });
    }
    const line = chargeLine({
      chargedMsat: BigInt(header('x-pura-charged-msat') ?? 0),
      costUsd: Number(header('x-pura-cost') ?? 0),
      completionTokens: body.usage?.completion_tokens ?? 0,
      promptTokens: body.usage?.prompt_tokens ?? 0,
      model: header('x-pura-model'),
      provider: header('x-pura-provider'),
      funding: header('x-pura-funding'),
    });
    await show(deps, res, asked, {
      answer: { text: body.choices?.[0]?.message.content ?? '', line, requestId: header('x-pura-request-id') },
    });
  };
}

const bodySchema = z.object({
  choices: listOf(z.object({ message: z.object({ content: z.string().nullish() }) })).optional(),
  usage: z.object({ prompt_tokens: z.number(), completion_tokens: z.number() }).nullish(),
  error: z
    .object({ message: z.string(), code: z.string(), funding: z.object({ invoiceId: z.string() }).optional() })
    .partial()
    .optional(),
});

function placeOf({ socket }: Request): string {
  const { localAddress = '127.0.0.1', localPort = 0 } = socket;
  return `${localAddress.includes(':') ? `[${localAddress}]` : localAddress}:${localPort}`;
}

/** What tells the gateway who asks, and from where: the same as this request's own. */
function ownHeaders(req: Request, { most }: Fields): Record<string, string> {
  const kept = ['cookie', 'x-forwarded-for', 'x-forwarded-proto', 'x-forwarded-host', 'forwarded'];
  const headers = kept.flatMap((name) => (req.headers[name] === undefined ? [] : [[name, String(req.headers[name])]]));
  return { ...Object.fromEntries(headers), 'content-type': 'application/json', ...(most !== '' && { 'x-pura-max-cost-sats': most }) };
}

import type { Express, Request, RequestHandler, Response } from 'express';
import type { ApiKey } from '../../accounts/api-key.ts';
import { KeyMadeError, type ApiKeys } from '../../accounts/api-keys.ts';
import type { Sessions } from '../../accounts/sessions.ts';
import { isLastWayIn } from '../../accounts/way-in.ts';
import type { Config } from '../../config/config.ts';
import type { Pool } from '../../db/postgres.ts';
import { GatewayError } from '../../errors.ts';
import { readBudgetDay } from '../../ledger/balance.ts';
import { readSpend } from '../../ledger/spend.ts';
import type { Models } from '../../models/models.ts';
import { keyId } from '../api/key-id.ts';
import type { KeyMaking } from '../api/key-making.ts';
import { keysView } from '../api/keys.ts';
import { modelsOfKey } from '../api/models-of-key.ts';
import { PERIODS, readQuery } from '../api/report-queries.ts';
import { HOURS } from '../api/reports.ts';
import type { Turns } from '../payment/turns.ts';
import type { Pages } from '../pages/pages.ts';
import { addRoute } from '../server/operation.ts';
import type { ConsoleFrame } from './console-frame.ts';
import type { Guards } from './guards.ts';
import { formOfKey, settingsOfForm, type KeyFields, type Problems } from './key-form.ts';
import { findFields, KEY_PAGE_OPERATIONS, keyListQuery, newKeyFields, rotateFields, successorFields } from './key-page-operations.ts';
import { keyFields } from './key-form.ts';
import { keyIdOfNonce, newNonce, sendAlreadyShown, sendSecret } from './secret-page.ts';
import { formFields } from '../pages/form.ts';
import { sessionOf } from './signed-in.ts';

export interface KeyPagesDeps {
  pool: Pool;
  reportPool: Pool;
  turns: Turns;
  pages: Pages;
  frame: ConsoleFrame;
  apiKeys: ApiKeys;
  making: KeyMaking;
  models: Models;
  sessions: Sessions;
  config: Pick<Config, 'FREE_TIER_REQUESTS' | 'PUBLIC_URL' | 'DAILY_BUDGET_USD'> & Parameters<typeof keysView>[0]['config'];
}

const KEYS_A_PAGE = 50;
const PREFIX_LENGTH = 'pura_'.length + 6;
const SECTION = '/console/keys';
/** What was done, as the next page says it. */
const DONE = new Map<unknown, string>([
  ['saved', 'The limits are saved.'],
  ['revoked', 'The key is revoked.'],
]);

/** Adds the pages of an account's keys. Each danger is a page of its own that says what stops. */
export function addKeyPages(app: Express, deps: KeyPagesDeps, { form, owner, fresh }: Guards): void {
  const list = keyListHandlers(deps);
  const one = keyHandlersOfPage(deps);
  const acts = keyActHandlers(deps, one.send);
  const proven = fresh('make or replace an owner key');
  /** Of a key that is an owner's, or is to be. */
  const ownersAlone =
    (isOwners: (req: Request, res: Response) => Promise<boolean> | boolean): RequestHandler =>
    async (req, res, next) =>
      (await isOwners(req, res)) ? proven(req, res, next) : next();
  const provenByWallet = fresh('make or change a key');
  /** One signature of a wallet begins a session, and another site can have had it: what lets the balance be spent needs a second one. */
  const byWallet: RequestHandler = (req, res, next) => (sessionOf(res).how === 'wallet' ? provenByWallet(req, res, next) : next());
  const ofOwnerKey = ownersAlone(async (req, res) => (await one.find(req, res)).role === 'owner');

  addRoute(app, KEY_PAGE_OPERATIONS.list, ...owner, list.page);
  addRoute(app, KEY_PAGE_OPERATIONS.find, form, ...owner, list.find);
  addRoute(app, KEY_PAGE_OPERATIONS.ask, ...owner, list.ask);
  addRoute(app, KEY_PAGE_OPERATIONS.make, form, ...owner, ownersAlone(asksForOwner), byWallet, list.make);
  addRoute(app, KEY_PAGE_OPERATIONS.show, ...owner, one.page);
  addRoute(app, KEY_PAGE_OPERATIONS.change, form, ...owner, byWallet, one.change);
  addRoute(app, KEY_PAGE_OPERATIONS.askSuccessor, ...owner, acts.ask('successor'));
  addRoute(app, KEY_PAGE_OPERATIONS.succeed, form, ...owner, ofOwnerKey, byWallet, acts.succeed);
  addRoute(app, KEY_PAGE_OPERATIONS.askRotate, ...owner, acts.ask('rotate'));
  addRoute(app, KEY_PAGE_OPERATIONS.rotate, form, ...owner, ofOwnerKey, byWallet, acts.rotate);
  addRoute(app, KEY_PAGE_OPERATIONS.askRevoke, ...owner, acts.ask('revoke'));
  addRoute(app, KEY_PAGE_OPERATIONS.revoke, form, ...owner, byWallet, acts.revoke);
}

/** What of a search may stand in an address: of what may be a key's secret, typed wrongly perhaps, only as much as a prefix has. */
export function withoutSecret(text: string): string {
  const found = /[\w-]{22,}/.exec(text);
  return found ? text.slice(0, found.index + PREFIX_LENGTH) : text;
}

function asksForOwner(req: Request): boolean {
  return (req.body as { role?: unknown } | undefined)?.role === 'owner';
}

/** The list, and the form for another key. */
function keyListHandlers(deps: KeyPagesDeps): Record<'page' | 'find' | 'ask' | 'make', RequestHandler> {
  const { frame, making, models, config } = deps;

  async function showForm(res: Response, fields: KeyFields & { role: string; nonce: string }, problems: Problems = {}): Promise<void> {
    const status = Object.keys(problems).length > 0 ? 400 : 200;
    const page = { title: 'New key', section: SECTION, status };
    await frame.send(res, 'console/new-key', page, { fields, problems, models: namesOf(models), usualBudget: config.DAILY_BUDGET_USD });
  }

  return {
    async page(req, res) {
      const query = readQuery(keyListQuery, { state: 'live', ...req.query });
      const { keys, nextCursor, previousCursor } = await keysView(deps, sessionOf(res).key, { ...query, limit: KEYS_A_PAGE });
      const done = DONE.get(req.query['done']) ?? null;
      const to = (more: Record<string, string>) =>
        `${SECTION}?${new URLSearchParams({ q: query.q ?? '', state: query.state, ...more }).toString()}`;
      const data = {
        ...{ keys, query, done },
        first: previousCursor === null ? null : to({}),
        older: previousCursor === null ? null : to({ before: previousCursor }),
        newer: nextCursor === null ? null : to({ cursor: nextCursor }),
      };
      await frame.send(res, 'console/keys', { title: done ? `Keys: ${done}` : 'Keys', section: SECTION }, data);
    },

    /** A form, so that what is typed stands in no address: it may be a whole key. */
    find(req, res) {
      const { q, state } = formFields(req, findFields);
      const to = `${SECTION}?${new URLSearchParams({ q: withoutSecret(q.trim()), state }).toString()}`;
      res.set('Cache-Control', 'no-store').redirect(303, to);
    },

    async ask(req, res) {
      const { label, budget } = req.query;
      const text = (value: unknown) => (typeof value === 'string' ? value.slice(0, 200) : '');
      const fields = newKeyFields.parse({ label: text(label), budget: text(budget) });
      await showForm(res, { ...fields, nonce: newNonce() });
    },

    async make(req, res) {
      const { role, nonce = newNonce(), ...fields } = formFields(req, newKeyFields);
      const asked = settingsOfForm(fields);
      if ('problems' in asked) return showForm(res, { ...fields, role, nonce }, asked.problems);
      const session = sessionOf(res);
      const id = keyIdOfNonce(session.accountId, nonce);
      await onceOnly(deps, res, id, async () => {
        const issued = await making.newKey(making.countChange(session.key), role, asked.settings, id);
        await sendSecret(deps, req, res, issued, { how: 'made', done: `${SECTION}/${id}`, owner: true });
      });
    },
  };
}

type SendKey = (
  res: Response,
  key: ApiKey,
  more?: { fields?: KeyFields; problems?: Problems; done?: string | null; problem?: string },
) => Promise<void>;

/** One key: what it spent, and its limits. */
function keyHandlersOfPage(deps: KeyPagesDeps): Record<'page' | 'change', RequestHandler> & {
  find: (req: Request, res: Response) => Promise<ApiKey>;
  send: SendKey;
} {
  const { pool, reportPool, turns, frame, apiKeys, models } = deps;
  const find = (req: Request, res: Response): Promise<ApiKey> => apiKeys.find(sessionOf(res).accountId, keyId(req.params['id']));

  const send: SendKey = async (res, key, { fields = formOfKey(key), problems = {}, done = null, problem } = {}) => {
    const { accountId } = key;
    const spends = await turns.take(accountId, async () => {
      const found = [];
      for (const period of PERIODS) found.push((await readSpend(reportPool, { accountId, keyId: key.id, hours: HOURS[period] })).total);
      return found;
    });
    const status = Object.keys(problems).length > 0 ? 400 : problem === undefined ? 200 : 409;
    await frame.send(
      res,
      'console/key',
      { title: `Key ${nameOf(key)}${done ? `: ${done}` : ''}`, section: SECTION, status },
      {
        ...{ key, fields, problems, done, problem, name: nameOf(key) },
        spends: PERIODS.map((period, index) => ({ period, spend: spends[index] })),
        budget: await readBudgetDay(pool, key.id),
        isLast: key.role === 'owner' && (await isLastWayIn(pool, accountId, key.id)),
        isOwn: sessionOf(res).key.id === key.id,
        models: [...new Set([...namesOf(models), ...fields.models])],
      },
    );
  };

  return {
    find,
    send,
    async page(req, res) {
      await send(res, await find(req, res), { done: DONE.get(req.query['done']) ?? null });
    },

    async change(req, res) {
      const fields = formFields(req, keyFields);
      const key = await find(req, res);
      const asked = settingsOfForm(fields);
      if ('problems' in asked) return send(res, key, { fields, problems: asked.problems });
      try {
        await apiKeys.change(sessionOf(res).key, key.id, asked.settings);
      } catch (error) {
        return send(res, await find(req, res), { fields, problem: refusalOf(error) });
      }
      res.set('Cache-Control', 'no-store').redirect(303, `${SECTION}/${key.id}?done=saved`);
    },
  };
}

/** What is dangerous, or shows a secret: each asks first. */
function keyActHandlers(deps: KeyPagesDeps, sendKey: SendKey) {
  const { pool, frame, apiKeys, making, sessions } = deps;
  const find = (req: Request, res: Response): Promise<ApiKey> => apiKeys.find(sessionOf(res).accountId, keyId(req.params['id']));
  const succeed: RequestHandler = async (req, res) => {
    const { nonce = newNonce() } = formFields(req, successorFields);
    const [key, session] = [await find(req, res), sessionOf(res)];
    if (key.revokedAt) return sendKey(res, key, { problem: REVOKED });
    const id = keyIdOfNonce(session.accountId, nonce);
    const { label, dailyBudgetPicoUsd, rateLimitRpm, rateLimitTpm, allowedModels, expiresAt } = key;
    const settings = {
      label,
      dailyBudgetPicoUsd,
      rateLimitRpm,
      rateLimitTpm,
      allowedModels: allowedModels && [...allowedModels],
      expiresAt,
    };
    await onceOnly(deps, res, id, async () => {
      const issued = await making.newKey(making.countChange(session.key), key.role, settings, id);
      await sendSecret(deps, req, res, issued, { how: 'successor', done: `${SECTION}/${key.id}`, owner: true });
    });
  };
  const rotate: RequestHandler = async (req, res) => {
    const { prefix } = formFields(req, rotateFields);
    const [key, session] = [await find(req, res), sessionOf(res)];
    if (key.revokedAt) return sendKey(res, key, { problem: REVOKED });
    await onceOnly(deps, res, key.id, async () => {
      const issued = await apiKeys.rotate(making.countChange(session.key), key.id, prefix ?? key.prefix);
      // Who rotates the key of the session goes on with its new secret.
      if (session.key.id === key.id) await sessions.follow(session, issued.key);
      await sendSecret(deps, req, res, issued, { how: 'rotated', done: `${SECTION}/${key.id}`, owner: true });
    });
  };
  const revoke: RequestHandler = async (req, res) => {
    const key = await find(req, res);
    try {
      await apiKeys.revoke(making.countRevocation(sessionOf(res).key), key.id);
    } catch (error) {
      return sendKey(res, key, { problem: refusalOf(error) });
    }
    res.set('Cache-Control', 'no-store').redirect(303, `${SECTION}/${key.id}?done=revoked`);
  };
  /** The page before an act. */
  const ask =
    (act: 'successor' | 'rotate' | 'revoke'): RequestHandler =>
    async (req, res) => {
      const key = await find(req, res);
      if (key.revokedAt) return sendKey(res, key, { problem: REVOKED });
      const isLast = act === 'revoke' && key.role === 'owner' && (await isLastWayIn(pool, key.accountId, key.id));
      const data = { act, key, isLast, name: nameOf(key), nonce: newNonce(), isOwn: sessionOf(res).key.id === key.id };
      await frame.send(res, 'console/key-act', { title: `${ACTS[act]}: ${nameOf(key)}`, section: SECTION }, data);
    };
  return { ask, succeed, rotate, revoke };
}

const ACTS = { successor: 'Make a successor', rotate: 'Rotate', revoke: 'Revoke' } as const;
const REVOKED = 'This key was revoked: nothing of it can be changed any more.';

/** Does what makes a secret; a form that has made it before shows none. */
async function onceOnly(deps: Pick<KeyPagesDeps, 'pages'>, res: Response, id: string, make: () => Promise<void>): Promise<void> {
  try {
    await make();
  } catch (error) {
    if (!(error instanceof KeyMadeError)) throw error;
    sendAlreadyShown(deps, res, id);
  }
}

/** Why a change of a key was refused, for the key's own page; throws what that page cannot tell. */
function refusalOf(error: unknown): string {
  if (!(error instanceof GatewayError)) throw error;
  if (error.code === 'key_not_found') return REVOKED;
  if (error.code === 'last_owner_key' || error.code === 'rate_limit_exceeded') return error.message;
  throw error;
}

function nameOf({ label, prefix }: Pick<ApiKey, 'label' | 'prefix'>): string {
  return label ?? `${prefix}…`;
}

function namesOf(models: Models): string[] {
  return modelsOfKey(models, { allowedModels: null }).map(({ id }) => id);
}

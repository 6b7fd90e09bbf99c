import { randomUUID } from 'node:crypto';
import type { Request, RequestHandler, Response } from 'express';
import { z } from 'zod';
import type { Pool } from '../../db/postgres.ts';
import { GatewayError } from '../../errors.ts';
import type { Observe } from '../../observation.ts';
import { readAct, type Act, type NewAct } from '../../operator/acts.ts';
import type { Banner, Pages } from '../pages/pages.ts';
import { formFields } from '../pages/form.ts';
import { sendAdmin } from './admin-frame.ts';
import { operatorOf } from './admin-session.ts';
import { queryText, withQuery } from './table.ts';

/** What an act is about, and what it will do: read anew each time that its page is shown. */
export interface ActDescription {
  readonly title: string;
  readonly consequence: string;
  readonly facts: readonly (readonly [name: string, value: string])[];
  /** On the button. */
  readonly verb: string;
  readonly danger?: boolean;
  /** Where Cancel leads, and where one is sent on to when it is done. */
  readonly back: string;
}

export interface ActField {
  readonly name: string;
  readonly label: string;
  readonly hint?: string;
  readonly options?: readonly string[];
  /** What stands there at first. */
  readonly value?: string;
}

/** One act of operators: a page of its own that asks for the reason, and what is done when it is sent. */
export interface ActForm {
  /** The `href` of its section in the menu. */
  readonly section: string;
  readonly fields?: readonly ActField[];
  describe(req: Request): Promise<ActDescription>;
  /** What it would come to, with these values; where there is one, it is shown and asked for before anything is done. */
  preview?(req: Request, values: Readonly<Record<string, string>>): Promise<ActDescription['facts']>;
  /** Does it, and records it. A refusal that can be mended is shown beside the form. */
  perform(req: Request, act: Omit<NewAct, 'act' | 'subject'>, values: Readonly<Record<string, string>>): Promise<Act>;
}

export interface ActDeps {
  pages: Pages;
  observe: Observe;
}

const sent = z.looseObject({ act_id: z.uuid(), reason: z.string(), confirmed: z.string().optional() });
/** What the operator can mend, on the same page. */
const MENDABLE: ReadonlySet<string> = new Set([
  'invalid_request',
  'last_owner_key',
  'idempotency_conflict',
  'lightning_unavailable',
  'overloaded',
]);

interface Shown {
  actId: string;
  values?: Readonly<Record<string, string>>;
  reason?: string;
  refusal?: GatewayError;
  /** Facts of the preview, where only the confirmation is left. */
  preview?: ActDescription['facts'];
}

/** The two handlers of an act's page. */
export function actHandlers({ pages, observe }: ActDeps, form: ActForm): { show: RequestHandler; act: RequestHandler } {
  const { fields = [], section } = form;

  async function show(req: Request, res: Response, { actId, values = {}, reason = '', refusal, preview }: Shown): Promise<void> {
    const description = await form.describe(req);
    const param = refusal?.detail.param;
    const data = {
      ...description,
      facts: [...description.facts, ...(preview ?? [])],
      action: req.path,
      actId,
      reason,
      reasonWrong: param === 'reason',
      problem: refusal?.message,
      isPreview: preview !== undefined,
      fields: preview
        ? []
        : fields.map((field) => ({ ...field, value: values[field.name] ?? field.value ?? '', wrong: field.name === param })),
      kept: preview ? [...Object.entries(values), ['confirmed', 'yes']] : [],
    };
    sendAdmin(pages, res, 'act', { title: description.title, section, status: refusal?.status ?? 200 }, data);
  }

  async function perform(req: Request, res: Response): Promise<void> {
    const { act_id: id, reason, confirmed, ...rest } = formFields(req, sent);
    const values = Object.fromEntries(fields.map(({ name }) => [name, typeof rest[name] === 'string' ? rest[name].trim() : '']));
    try {
      if (form.preview && confirmed !== 'yes') {
        const preview = await form.preview(req, values);
        return await show(req, res, { actId: id, values, reason, preview });
      }
      const { name, network } = operatorOf(res);
      const { back } = await form.describe(req);
      const done = await form.perform(req, { id, by: { name, network }, reason }, values);
      observe({ kind: 'operator_acted', operator: name, act: done.act, subject: done.subject.id, actId: id });
      res.set('Cache-Control', 'no-store').redirect(303, withQuery(back, { done: done.id }));
    } catch (error) {
      if (!(error instanceof GatewayError && MENDABLE.has(error.code))) throw error;
      await show(req, res, { actId: id, values, reason, refusal: error });
    }
  }

  return { show: (req, res) => show(req, res, { actId: randomUUID() }), act: perform };
}

const DONE: Record<Act['act'], string> = {
  freeze: 'The account is frozen.',
  unfreeze: 'The account goes on.',
  adjust: 'The balance is adjusted.',
  revoke_keys: 'The keys are revoked.',
  credit_orphan: 'The payment is credited.',
  book_orphan: 'The payment is booked as a withdrawal.',
  dismiss_orphan: 'The payment is set aside.',
  ask_node: 'The node was asked.',
  run_audit: 'An audit begins.',
  provider_off: 'The provider is off. Requests under way come to their end.',
  provider_on: 'The provider is on.',
  log_level: 'The log level is set.',
};

/** What the page says first that one is sent on to after an act. */
export async function doneBanners(pool: Pool, req: Request): Promise<Banner[]> {
  const id = queryText(req.query, 'done');
  const act = id !== undefined && z.uuid().safeParse(id).success ? await readAct(pool, id) : undefined;
  return act ? [{ kind: 'info', text: `${DONE[act.act]} It is on record.`, links: [{ href: '/admin/acts', name: 'Acts' }] }] : [];
}

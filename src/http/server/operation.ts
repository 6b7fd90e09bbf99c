import type { Express, RequestHandler } from 'express';
import { z } from 'zod';
import type { ErrorCode } from '../../errors.ts';

/** Whose request an operation takes: everybody's, one with any key, an owner's, a signed-in person's, or the operator's. */
export type Asker = 'anybody' | 'key' | 'owner' | 'session' | 'operator';

/** The groups in which operations are told, in this order: one page of the reference each. */
export const TAGS = {
  Inference: 'Chats, completions, responses, messages and embeddings, in the wires that clients speak already.',
  Models: 'What can be asked, by whom it is served and what it costs.',
  Keys: 'API keys: making, listing, changing, rotating and revoking them.',
  Wallet: 'Money in and out: invoices, balance, statement, withdrawals.',
  Reports: 'What was used, and what it cost.',
  Status: 'Whether the gateway, its providers and its Lightning node do well.',
  Agents: 'Ways in for programs: discovery, descriptions for machines.',
  Lightning: 'What wallets ask: Lightning Address, LNURL-auth, LNURL-withdraw.',
  Pages: 'Pages for people, and the files they load.',
  Console: 'Pages of an account, for a signed-in person.',
  Operator: 'For the operator of the gateway alone.',
} as const;

export type Tag = keyof typeof TAGS;

export type Method = 'get' | 'post' | 'put' | 'patch' | 'delete';

/** What one media type holds. */
export interface Content {
  readonly schema: z.ZodType;
  /** A value that the schema takes. */
  readonly example?: unknown;
}

/** A request's body: its media types. */
export interface BodyDescription {
  /** True where nothing at all counts as `{}`. */
  readonly optional?: boolean;
  readonly content: Readonly<Record<string, Content>>;
}

/** An answer that is no error: what it means, and what it holds by media type. */
export interface AnswerDescription {
  readonly description: string;
  readonly headers?: z.ZodObject;
  readonly content?: Readonly<Record<string, Content>>;
}

/**
 * One method of one path: a row of the route table. It stands beside its handler, whose own schemas it names, and is what the app adds, what
 * `/openapi.json` and `/docs` tell, and what tests check answers against.
 */
export interface Operation {
  /** Unique, e.g. `createKey`: the name of a function in generated clients. */
  readonly id: string;
  readonly method: Method;
  /** As Express reads it, e.g. `/api/keys/:id`. */
  readonly path: string;
  readonly asker: Asker;
  readonly tag: Tag;
  /** One line, without a full stop. */
  readonly summary: string;
  readonly description?: string;
  /** The path's parameters, where more is to be said of one than that it is a text. */
  readonly params?: z.ZodObject;
  readonly query?: z.ZodObject;
  readonly headers?: z.ZodObject;
  readonly body?: BodyDescription;
  /** By status. */
  readonly answers: Readonly<Record<number, AnswerDescription>>;
  /** The codes of its refusals and failures, besides those that go with its asker and its body (`errorsOf`). */
  readonly errors: readonly ErrorCode[];
}

/** Adds a described route to the app. */
export function addRoute(app: Express, { method, path }: Pick<Operation, 'method' | 'path'>, ...handlers: RequestHandler[]): void {
  app[method](path, ...handlers);
}

/** A JSON answer. */
export function json(description: string, schema: z.ZodType, more: { example?: unknown; headers?: z.ZodObject } = {}): AnswerDescription {
  const { example, headers } = more;
  return {
    description,
    ...(headers && { headers }),
    content: { 'application/json': { schema, ...(example !== undefined && { example }) } },
  };
}

/** A JSON body. */
export function jsonBody(schema: z.ZodType, example?: unknown): BodyDescription {
  return { optional: schema.safeParse({}).success, content: { 'application/json': { schema, ...(example !== undefined && { example }) } } };
}

/** Server-sent events: all of them as text, as examples show them, or one by one, as validators read them. */
export const events = z.union([z.string(), z.looseObject({ event: z.string().optional(), data: z.string() })]);

/** An answer of one other media type, told as text. */
export function text(description: string, mediaType = 'text/html', example?: string): AnswerDescription {
  const schema = mediaType === 'text/event-stream' ? events : z.string();
  return { description, content: { [mediaType]: { schema, ...(example !== undefined && { example }) } } };
}

type PageOptions = Pick<Operation, 'id' | 'path' | 'summary'> & Partial<Omit<Operation, 'method' | 'content'>>;

/** A page for people: `GET`, answers HTML. Who may ask goes by its path: `/console` and `/admin` are for those who have signed in there. */
export function page(row: PageOptions): Operation {
  const { asker, tag } = { ...placeOf(row.path), ...row };
  const usual: Operation['answers'] = asker === 'anybody' ? {} : { 303: TO_SIGN_IN };
  const answers = { 200: text('The page.'), ...usual, ...row.answers };
  return { method: 'get', errors: [], ...row, asker, tag, answers };
}

/** The target of a page's form: `POST`, and the browser is sent on, or gets the page again with what is wrong. */
export function form(row: PageOptions & { fields?: z.ZodType }): Operation {
  const { fields = z.object({}), ...rest } = row;
  const sentOn: AnswerDescription = { description: 'Sent on to the page that shows the outcome.', headers: LOCATION };
  return {
    method: 'post',
    ...placeOf(row.path),
    ...rest,
    body: { optional: true, content: { 'application/x-www-form-urlencoded': { schema: fields } } },
    answers: { 303: sentOn, ...row.answers },
    errors: ['not_permitted', ...(row.errors ?? [])],
  };
}

/** Whether a path's errors are pages, too: not where what comes is JSON, which a script has sent. */
export function failsInHtml({ path, body }: Pick<Operation, 'path' | 'body'>): boolean {
  return body?.content['application/json'] === undefined && /^\/(?:console|admin|docs)(?:\/|$)/.test(path);
}

function placeOf(path: string): Pick<Operation, 'asker' | 'tag'> {
  if (path.startsWith('/console')) return { asker: 'session', tag: 'Console' };
  return path.startsWith('/admin') ? { asker: 'operator', tag: 'Operator' } : { asker: 'anybody', tag: 'Pages' };
}

const LOCATION = z.object({ Location: z.string().meta({ description: 'The page to go on to.' }) });

/** What becomes of a request for a page by somebody who has not signed in. */
const TO_SIGN_IN: AnswerDescription = { description: 'Sent on to sign in.', headers: LOCATION };

const OF_ALL: readonly ErrorCode[] = ['invalid_request', 'overloaded', 'internal_error', 'database_unavailable'];
const OF_KEYS: readonly ErrorCode[] = [
  'invalid_api_key',
  // An account that the operator has paused.
  'not_permitted',
  // Too many unknown keys from one address, or too much at once of one account.
  'rate_limit_exceeded',
  // A payment credential that is not paid yet, or has been spent.
  'free_tier_exceeded',
  'insufficient_balance',
  'too_many_invoices',
  'exchange_rate_unavailable',
  'lightning_unavailable',
];
const OF_OPERATORS: readonly ErrorCode[] = ['invalid_api_key', 'not_permitted', 'rate_limit_exceeded'];
/** Of what a page's script asks for: a page itself is sent to sign in. */
const OF_SESSIONS: readonly ErrorCode[] = ['invalid_api_key'];
const OF_BODIES: readonly ErrorCode[] = ['request_too_large', 'too_many_values', 'unsupported_media_type'];

/** Every code that an operation may be refused or fail with. */
export function errorsOf({ asker, body, errors }: Pick<Operation, 'asker' | 'body' | 'errors'>): ErrorCode[] {
  const asked =
    asker === 'key' || asker === 'owner' ? OF_KEYS : asker === 'operator' ? OF_OPERATORS : asker === 'session' ? OF_SESSIONS : [];
  return [...new Set<ErrorCode>([...OF_ALL, ...asked, ...(body ? OF_BODIES : []), ...errors])];
}

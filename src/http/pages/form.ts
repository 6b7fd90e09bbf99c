import express, { type RequestHandler } from 'express';
import type { z } from 'zod';
import { GatewayError } from '../../errors.ts';
import { invalidField } from '../server/json-body.ts';
import { refuseOtherForms, type OwnPageConfig } from '../server/own-site.ts';

const FORM_BYTES = 100 * 1024;
const MOST_FIELDS = 400;

const parse = express.urlencoded({ extended: false, limit: FORM_BYTES, parameterLimit: MOST_FIELDS });

/** Reads a form that one of the gateway's own pages sends: what stands in `req.body` then is text, or a list of texts. Throws `not_permitted` for forms of other sites. */
export function readForm(config: OwnPageConfig): RequestHandler {
  return (req, res, next) => {
    refuseOtherForms(req, config);
    parse(req, res, (error: unknown) => {
      if (!error) return next();
      const tooLarge = (error as { status?: number }).status === 413;
      next(new GatewayError(tooLarge ? 'request_too_large' : 'invalid_request', { message: 'The form cannot be read.' }));
    });
  };
}

/** The fields of a form, checked. Throws `invalid_request` that names the first wrong one. */
export function formFields<T extends z.ZodType>(req: { body?: unknown }, schema: T): z.infer<T> {
  const parsed = schema.safeParse(req.body ?? {});
  if (!parsed.success) throw invalidField(parsed.error);
  return parsed.data;
}

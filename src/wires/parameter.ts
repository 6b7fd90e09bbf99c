import type { z } from 'zod';
import { GatewayError } from '../errors.ts';
import type { ReadBody } from './request.ts';
import type { JsonObject } from './wire.ts';

/**
 * What each top-level field of a surface means for the bill:
 * - `free`: passed on whole; it cannot make the request dearer than prompt + completions × output cap.
 * - `multiplies`: passed on, and counted by the quote.
 * - `gateway`: read by the gateway, which sends upstream what it decides itself.
 * - `harmless`: known to some models only, and cannot raise the bill: sent where it is known, else left out and named.
 * - `refused`: refused by name, because its cost is unknown or it names an object stored upstream.
 */
export type ParameterRule = 'free' | 'multiplies' | 'gateway' | 'harmless' | 'refused';

export interface Parameter {
  readonly rule: ParameterRule;
  readonly schema: z.ZodType;
  /** What a client may say of a refused field because it changes nothing. */
  readonly harmless?: unknown;
}

/** Every top-level field of a surface. A field that is not here is refused by name. */
export type Parameters = ReadonlyMap<string, Parameter>;

export interface ReadFieldsOptions {
  readonly allowParameters?: ReadonlySet<string> | undefined;
  /** The error for a field without a rule, in the surface's own words; OpenAI's where left out. */
  readonly refuse?: (name: string) => GatewayError;
}

/** A request's fields, checked and sorted by what their rules mean. */
export interface CheckedFields {
  /** `free` and `multiplies`. */
  readonly fields: JsonObject;
  readonly own: JsonObject;
  readonly extras: JsonObject;
  readonly unruled: readonly string[];
}

/**
 * Checks every field of a body against its rule. `null` is as if absent; so is an empty list, or the harmless value, of a refused field.
 * Throws GatewayError `invalid_request` or `unknown_parameter`.
 */
export function readFields(
  { fields, verbatim }: ReadBody,
  parameters: Parameters,
  { allowParameters, refuse = refusal }: ReadFieldsOptions = {},
): CheckedFields {
  const checked = { fields: {} as JsonObject, own: {} as JsonObject, extras: {} as JsonObject, unruled: [] as string[] };
  for (const [name, value] of Object.entries(fields)) {
    const parameter = parameters.get(name);
    if (value === null || saysNothing(value, parameter)) continue;
    if (!parameter || parameter.rule === 'refused') {
      if (!allowParameters?.has(name)) throw refuse(name);
      checked.unruled.push(name);
      checked.fields[name] = verbatim[name];
      continue;
    }
    const result = parameter.schema.safeParse(value);
    if (!result.success) throw invalid(name, result.error, refuse);
    if (parameter.rule === 'gateway') checked.own[name] = value;
    else if (parameter.rule === 'harmless') checked.extras[name] = verbatim[name];
    // What multiplies the bill goes upstream as it was counted.
    else checked.fields[name] = parameter.rule === 'multiplies' ? value : verbatim[name];
  }
  return checked;
}

function saysNothing(value: unknown, parameter: Parameter | undefined): boolean {
  return parameter?.rule === 'refused' && (value === parameter.harmless || (Array.isArray(value) && value.length === 0));
}

function refusal(name: string): GatewayError {
  return new GatewayError('unknown_parameter', { message: `${name} is not supported.`, param: name });
}

function invalid(name: string, error: z.ZodError, refuse: (name: string) => GatewayError): GatewayError {
  const issue = error.issues[0];
  if (issue?.code === 'unrecognized_keys') return refuse([name, ...issue.path, issue.keys[0]].map(String).join('.'));
  const param = [name, ...(issue?.path ?? [])].map(String).join('.');
  return new GatewayError('invalid_request', { message: `${param}: ${issue?.message ?? 'is not valid'}`, param });
}

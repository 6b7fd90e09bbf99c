import { z } from 'zod';
import { listOf } from '../../list-of.ts';
import type { ApiKey } from '../../accounts/api-key.ts';
import type { KeySettings } from '../../accounts/api-keys.ts';
import { usdNumber } from '../../amount.ts';
import { keyBody, settingsFrom } from '../api/keys.ts';

/** The fields of the forms that make or change a key, as a browser sends them. */
export const keyFields = z.object({
  label: z.string().trim().default(''),
  budget: z.string().trim().default(''),
  rpm: z.string().trim().default(''),
  tpm: z.string().trim().default(''),
  which: z.enum(['all', 'some']).default('all'),
  models: z
    .union([z.string(), listOf(z.string())])
    .default([])
    .transform((models) => [models].flat()),
  expires: z.string().trim().default(''),
});
export type KeyFields = z.output<typeof keyFields>;

/** What is wrong with a field, by the field's name. */
export type Problems = Readonly<Partial<Record<keyof KeyFields, string>>>;

/** The field of each setting, and what is said where it does not hold. */
const SAID: Readonly<Record<string, readonly [field: keyof KeyFields, sentence: string]>> = {
  label: ['label', 'The label has up to 200 characters and no control characters.'],
  dailyBudgetUsd: ['budget', 'The daily budget is a number of US dollars from 0 to 1,000,000, such as 10 or 0.50.'],
  rateLimitRpm: ['rpm', 'Requests a minute are a whole number from 1 on; empty for the usual limit.'],
  rateLimitTpm: ['tpm', 'Tokens a minute are a whole number from 1 on; empty for the usual limit.'],
  allowedModels: ['models', 'Choose from 1 to 100 models, or all.'],
  expiresAt: ['expires', 'The expiry is a moment in the future, in UTC; empty for never.'],
};

/** The settings that a form asks for, or what is wrong with each of its fields. An empty budget is the usual one. */
export function settingsOfForm(fields: KeyFields): { settings: Partial<KeySettings> } | { problems: Problems } {
  const { label, budget, rpm, tpm, which, models, expires } = fields;
  const parsed = keyBody.omit({ role: true }).safeParse({
    label: label === '' ? null : label,
    ...(budget !== '' && { dailyBudgetUsd: numberOf(budget) }),
    rateLimitRpm: rpm === '' ? null : numberOf(rpm),
    rateLimitTpm: tpm === '' ? null : numberOf(tpm),
    allowedModels: which === 'all' ? null : models,
    expiresAt: expires === '' ? null : `${expires}Z`,
  });
  if (parsed.success) return { settings: settingsFrom(parsed.data) };
  const wrong = parsed.error.issues.map(({ path }) => SAID[String(path[0])]).filter((said) => said !== undefined);
  return { problems: Object.fromEntries(wrong) };
}

/** A key's settings as the form shows them. */
export function formOfKey(key: ApiKey): KeyFields {
  return {
    label: key.label ?? '',
    budget: String(usdNumber(key.dailyBudgetPicoUsd)),
    rpm: String(key.rateLimitRpm ?? ''),
    tpm: String(key.rateLimitTpm ?? ''),
    which: key.allowedModels ? 'some' : 'all',
    models: [...(key.allowedModels ?? [])],
    expires: key.expiresAt?.toISOString().slice(0, 16) ?? '',
  };
}

/** As people write numbers, with commas between thousands; NaN where there is none. */
function numberOf(text: string): number {
  return /^[\d,]+(\.\d+)?$/.test(text) ? Number(text.replaceAll(',', '')) : NaN;
}

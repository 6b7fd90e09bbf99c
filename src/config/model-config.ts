import { z } from 'zod';
import { text } from './value.ts';

const MOST_SERVINGS = 64;

const serving = z.strictObject({
  /** `gpt-4o-mini`, `pureai/<id>` of a deployment, or `<provider>/<model>`: never another name. */
  use: text,
  /** Its share of the load among the primary ones, or among the backups. */
  weight: z
    .number()
    .max(1e6)
    .refine((weight) => weight > 0, 'must be above 0')
    .default(1),
  /** Asked once no primary one can answer. */
  backup: z.boolean().default(false),
});

/** A model that several deployments serve, by the id that clients ask for. */
const model = z.strictObject({
  deployments: z
    .array(serving)
    .min(1)
    .max(MOST_SERVINGS)
    .superRefine((servings, context) => {
      if (servings.length > 0 && servings.every(({ backup }) => backup))
        context.addIssue({ code: 'custom', message: 'must have one that is no backup' });
      for (const [index, { use }] of servings.entries())
        if (servings.slice(0, index).some((earlier) => earlier.use === use))
          context.addIssue({ code: 'custom', path: [index, 'use'], message: 'is there twice' });
    }),
});

export const modelMembers = z.record(text, model);

export type ModelsConfig = z.infer<typeof modelMembers>;
export type ServingConfig = ModelsConfig[string]['deployments'][number];

interface WithNames {
  readonly models: ModelsConfig;
  readonly aliases: Readonly<Record<string, string>>;
}

/** Refuses names that would stand for two things. */
export function refuseSharedNames({ models, aliases }: WithNames, context: z.RefinementCtx): void {
  const refuse = (path: string[], message: string) => context.addIssue({ code: 'custom', path, message, params: { part: 'name' } });
  for (const name of Object.keys(aliases)) {
    if (Object.hasOwn(models, name)) refuse(['aliases', name], 'is a name under models too');
    if (name === 'auto') refuse(['aliases', name], 'is what asks for any model');
  }
  if (Object.hasOwn(models, 'auto')) refuse(['models', 'auto'], 'is what asks for any model');
}

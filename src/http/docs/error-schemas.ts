import { z } from 'zod';
import { ERRORS, type ErrorCode } from '../../errors.ts';
import { invoice } from '../api/wallet-operations.ts';

const CODES = Object.keys(ERRORS) as [ErrorCode, ...ErrorCode[]];
const TYPES = [...new Set(Object.values(ERRORS).map(({ type }) => type))];

const said = {
  message: z.string().meta({ description: 'What happened and, for a 402, what to do: most clients show nothing else.' }),
  code: z.enum(CODES),
  param: z.string().nullable().meta({ description: 'The field or header at fault.' }),
  retry_after: z.int().min(1).optional().meta({ description: 'Seconds.' }),
  reason: z.enum(['used_up', 'too_costly', 'daily_ceiling']).optional().meta({ description: 'Why a request is not free.' }),
  funding: invoice.optional().meta({ description: 'What to pay, with a 402 that paying helps.' }),
  resets_at: z.iso.datetime().optional().meta({ description: 'When the budget of the day begins anew.' }),
};

/** The body of every error but those on the paths of Anthropic's wire. */
export const gatewayError = z.object({ error: z.looseObject({ ...said, type: z.enum(TYPES) }) }).meta({ id: 'Error' });

/** The same in Anthropic's words. */
export const anthropicError = z
  .object({ type: z.literal('error'), error: z.looseObject({ ...said, type: z.string() }), request_id: z.string() })
  .meta({ id: 'AnthropicError' });

/** A provider's own error object, passed on. */
export const providerError = z
  .looseObject({ error: z.looseObject({ message: z.string() }) })
  .meta({ id: 'ProviderError', description: 'As the provider wrote it.' });

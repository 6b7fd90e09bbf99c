import type { RequestHandler } from 'express';
import type { Config } from '../../config/config.ts';
import { GatewayError } from '../../errors.ts';
import { ownCount } from '../../metering/own-count.ts';
import type { Models } from '../../models/models.ts';
import { countInputTokens, parseCountRequest } from '../../wires/anthropic-messages/count-tokens.ts';
import { parseBody } from '../../wires/parse-json.ts';
import type { Tokenizer } from '../../wires/tokens.ts';
import { WindowLimit } from '../../window-limit.ts';
import { principalOf } from '../payment/authenticate.ts';
import { readBody, refuseOtherTypes } from '../server/json-body.ts';

const MB = 1024 * 1024;
/** Clients count in bursts of dozens, each time that a person looks at what fills the context. */
const COUNTS_A_MINUTE = 600;
const MINUTE_MS = 60_000;
/** Counting takes time from everybody: longer texts are estimated by their bytes. */
const EXACT_CHARACTERS = 256 * 1024;
/** For a request that names no model: most models count nearly alike. */
const USUAL_TOKENIZER: Tokenizer = 'o200k_base';

export interface CountTokensDeps {
  config: Pick<Config, 'BODY_LIMIT_MB'>;
  models: Models;
}

/**
 * POST /v1/messages/count_tokens (https://docs.anthropic.com/en/api/messages-count-tokens): free, limited, and it reaches no provider, so it
 * is an estimate. Throws as `/v1/messages` does for what the request says, and `rate_limit_exceeded`.
 */
export function countTokensHandler({ config, models }: CountTokensDeps): RequestHandler {
  const limit = new WindowLimit({ points: COUNTS_A_MINUTE, windowMs: MINUTE_MS });
  return async (req, res) => {
    const { accountId } = principalOf(res).key;
    const retryAfter = limit.take([{ name: accountId, times: 1 }]);
    if (retryAfter > 0) throw new GatewayError('rate_limit_exceeded', { message: 'Too many counts in this minute.', retryAfter });
    const bytes = await readBody(req, config.BODY_LIMIT_MB * MB);
    refuseOtherTypes(req);
    const { allowParameters } = models;
    const request = parseCountRequest(parseBody(bytes), { streamDefault: false, allowParameters, headers: req.headers });
    const counted = countedBy(models, request.model);
    const count = (text: string) => ownCount(text, text.length > EXACT_CHARACTERS ? { ...counted, tokenizer: 'bytes' } : counted);
    res.json(await countInputTokens(request, count));
  };
}

function countedBy(models: Models, model: string): { tokenizer: Tokenizer; tokenFactor: number } {
  if (model === 'auto') return { tokenizer: USUAL_TOKENIZER, tokenFactor: 1 };
  const deployment = models.find(model);
  if (!deployment) throw new GatewayError('model_not_found', { param: 'model' });
  return deployment;
}

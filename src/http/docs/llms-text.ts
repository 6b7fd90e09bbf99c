import type { RequestHandler } from 'express';
import type { Models } from '../../models/models.ts';
import { pricingOf } from '../api/pricing.ts';
import { originOf } from '../server/origin.ts';
import type { DocsDeps } from './add-docs.ts';
import { GUIDES } from './guides.ts';
import { groupsOf } from './reference.ts';

const CACHE_SECONDS = 300;
const MOST_MODELS = 200;

/** The handler of `/llms.txt` (https://llmstxt.org): what this is, how an agent pays, and where everything else is told. */
export function llmsText({ config, models, operations }: DocsDeps): RequestHandler {
  return async (req, res) => {
    await models.keepUp();
    const origin = originOf(req, config.PUBLIC_URL);
    const guides = GUIDES.map((guide) => ({ ...guide, line: `- [${guide.label}](${origin}/docs/${guide.name})` }));
    const of = (reader: 'user' | 'operator') => guides.filter((guide) => guide.reader === reader).map(({ line }) => line);
    const lines = [
      '# Pura',
      '',
      "> A gateway to language models that is paid per request over Lightning. It speaks OpenAI's and Anthropic's wires; each request is charged what it cost, in millisatoshi.",
      '',
      'No sign-up. Two ways in:',
      '',
      `- With a key: \`POST ${origin}/api/keys\` with \`{}\` answers one; send it as \`Authorization: Bearer pura_…\`. The first requests are free.`,
      `- With a Lightning wallet and no key: send the request to \`${origin}/l402/v1/chat/completions\`. The 402 has one BOLT11 invoice, in \`error.funding.paymentRequest\`, as an L402 challenge, as a \`Payment\` challenge and for x402. Pay it and send the same request with \`Authorization: L402 <token>:<preimage>\`. What is left of the payment stays, and the credential is good until it is spent.`,
      '',
      `Base URL for OpenAI's clients: \`${origin}/v1\`; for Anthropic's: \`${origin}\`. Model \`auto\` lets the gateway choose. \`X-Pura-Max-Cost-Sats\` caps what one request may cost. \`POST ${origin}/api/estimate\` prices one without sending it.`,
      '',
      '## Descriptions for programs',
      '',
      `- [OpenAPI 3.1](${origin}/openapi.json): every path, field, answer and error`,
      `- [Payment discovery](${origin}/.well-known/l402): paths, challenges, amounts, models and prices as JSON`,
      `- [MCP](${origin}/mcp): the same as tools, over streamable HTTP`,
      `- [Prices](${origin}/v1/pricing/models): in USD and msat, with a key`,
      '',
      '## Guides',
      '',
      ...of('user'),
      `- [Errors](${origin}/docs/errors): each code, whether it was charged, what to do`,
      '',
      '## Reference',
      '',
      ...groupsOf(operations()).map(({ name, tag, text }) => `- [${tag}](${origin}/docs/api/${name}): ${text}`),
      '',
      '## Prices',
      '',
      'USD per million tokens, in / out / read from the cache:',
      '',
      ...priceLines(models, config.markupBasisPoints),
      '',
      '## Optional',
      '',
      ...of('operator'),
      '',
    ];
    res.set('Cache-Control', `public, max-age=${CACHE_SECONDS}`).type('text/plain').send(lines.join('\n'));
  };
}

function priceLines(models: Pick<Models, 'list'>, markupBasisPoints: bigint): string[] {
  return [...models.list(), ...models.list('embed')].slice(0, MOST_MODELS).map((deployment) => {
    const { input, output, cache_read } = pricingOf(deployment, markupBasisPoints);
    return `- ${deployment.model}: ${input} / ${output} / ${cache_read}`;
  });
}

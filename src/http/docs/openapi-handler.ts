import type { RequestHandler } from 'express';
import { originOf } from '../server/origin.ts';
import type { DocsDeps } from './add-docs.ts';

const CACHE_SECONDS = 300;

/** The handler of `/openapi.json`. The document is made once; only its servers depend on who asks. */
export function openApiHandler({ config, document }: DocsDeps): RequestHandler {
  let made: string | undefined;
  return (req, res) => {
    made ??= JSON.stringify(document());
    const servers = JSON.stringify({ servers: [{ url: originOf(req, config.PUBLIC_URL) }] });
    res
      .set('Cache-Control', `public, max-age=${CACHE_SECONDS}`)
      .type('json')
      .send(`${servers.slice(0, -1)},${made.slice(1)}`);
  };
}

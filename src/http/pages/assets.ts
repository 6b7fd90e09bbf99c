import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import type { RequestHandler } from 'express';
import { GatewayError } from '../../errors.ts';

/** The templates of the pages and the few files that they need. */
export const VIEWS_DIR = path.join(import.meta.dirname, '../../../views');

const TYPES: Record<string, string> = {
  '.css': 'text/css; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.svg': 'image/svg+xml',
};
const YEAR_SECONDS = 31_536_000;

interface Asset {
  body: Buffer;
  type: string;
  version: string;
}

/** The files that pages load from the gateway itself, read once. */
export class Assets {
  readonly #assets = new Map<string, Asset>();

  constructor(directory = VIEWS_DIR) {
    for (const name of readdirSync(directory)) {
      const type = TYPES[path.extname(name)];
      if (!type) continue;
      const file = readFileSync(path.join(directory, name));
      const body = tight(file.toString(), type);
      this.#assets.set(name, { body, type, version: createHash('sha256').update(body).digest('hex').slice(0, 16) });
    }
  }

  /** The address of a file; it changes with the file's content, so that browsers may keep it for ever. */
  url(name: string): string {
    const asset = this.#assets.get(name);
    if (!asset) throw new Error(`there is no asset ${name}`);
    return `/assets/${name}?v=${asset.version}`;
  }

  /** Serves `/assets/:name`. */
  readonly handler: RequestHandler = (req, res) => {
    const asset = this.#assets.get(String(req.params['name']));
    if (!asset) throw new GatewayError('not_found');
    const { body, type, version } = asset;
    const kept = req.query['v'] === version ? `public, max-age=${YEAR_SECONDS}, immutable` : 'no-cache';
    // An SVG that is opened by itself is a document: it may run nothing.
    res.set({
      'Content-Type': type,
      'Cache-Control': kept,
      ETag: `"${version}"`,
      'Content-Security-Policy': "default-src 'none'; style-src 'unsafe-inline'",
    });
    if (req.fresh) res.status(304).end();
    else res.send(body);
  };
}

/** What browsers need of a file: a stylesheet is a third less without comments, indentation and line ends, a script without the first two. */
function tight(text: string, type: string): Buffer {
  if (type === TYPES['.css']) return Buffer.from(withoutRemarks(text).replaceAll(/\s+/g, ' ').trim());
  if (type !== TYPES['.js']) return Buffer.from(text);
  // Only what has a line of its own goes: the same characters within a line may be part of a text.
  const lines = text.replaceAll(/^ *\/\*\*[^]*?\*\/$/gm, '').split('\n');
  return Buffer.from(
    lines
      .map((line) => line.trim())
      .filter((line) => line !== '' && !line.startsWith('// '))
      .join('\n'),
  );
}

function withoutRemarks(css: string): string {
  return css.replaceAll(/\/\*[^]*?\*\//g, '');
}

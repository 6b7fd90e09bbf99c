import { gzipSync } from 'node:zlib';
import { Eta } from 'eta';
import type { Response } from 'express';
import { VIEWS_DIR, type Assets } from './assets.ts';
import * as format from './format.ts';
import { pageHeaders } from './page-headers.ts';

/** Nothing from anywhere else, nothing inline, no frame around it. */
export const CONTENT_SECURITY_POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/** A section of a frame's menu. */
export interface Section {
  readonly href: string;
  readonly name: string;
}

/** What a page is told apart from its own data. */
export interface Frame {
  readonly title: string;
  /** `console` and `admin` have a bar and a menu; without, the page stands alone under the bar. */
  readonly menu?: { readonly label: string; readonly sections: readonly Section[]; readonly current: string } | undefined;
  /** At the right of the bar: what can be spent, or who is signed in. */
  readonly corner?: string | undefined;
  readonly banners?: readonly Banner[];
  /** The page's own script, a file of `views/`. */
  readonly script?: string | undefined;
  /** True where search engines may find the page, and browsers and caches may keep it for a minute. */
  readonly public?: boolean;
  /** Seconds after which a page without script loads itself again. */
  readonly refreshSeconds?: number | undefined;
}

export interface Banner {
  readonly kind: 'info' | 'warn' | 'bad';
  readonly text: string;
  /** A moment that stands after the text, in the reader's own time. */
  readonly at?: { readonly said: string; readonly time: Date };
  readonly links?: readonly Section[];
  /** What a press does: each is a form. */
  readonly acts?: readonly Section[];
}

export interface PagesOptions {
  assets: Assets;
  /** True where sats are play money: every page that shows one says so. */
  simulated: boolean;
  version: string;
  network: string;
  /** A mail address or URL, shown where only the operator can help. */
  contact?: string | undefined;
}

const PUBLIC_SECONDS = 60;

/** Renders pages: `views/<view>.eta` within `views/frame.eta`, complete from the server, with the headers of a page. */
export class Pages {
  readonly #eta = new Eta({ views: VIEWS_DIR, cache: true });
  readonly #options: PagesOptions;

  constructor(options: PagesOptions) {
    this.#options = options;
  }

  get contact(): string | undefined {
    return this.#options.contact;
  }

  get simulated(): boolean {
    return this.#options.simulated;
  }

  /**
   * Answers with a page. In the view, `it` has the frame and the data, `it.f` the functions of `format.ts`, `it.assets`, `it.simulated`,
   * and `it.contact`. Everything is escaped but what `<%~ %>` writes.
   */
  send(res: Response, view: string, frame: Frame, data: object = {}, status = 200): void {
    const headers = pageHeaders(CONTENT_SECURITY_POLICY);
    if (frame.public) {
      headers['Cache-Control'] = `public, max-age=${PUBLIC_SECONDS}`;
      delete headers['X-Robots-Tag'];
    }
    res.status(status).set(headers).type('html');
    const html = this.render(view, frame, data);
    res.send(frame.public ? packed(res, html) : html);
  }

  /** The page's HTML. */
  render(view: string, frame: Frame, data: object = {}): string {
    return this.#eta.render(`./${view}`, { ...this.#options, banners: [], ...frame, ...data, f: format });
  }
}

/**
 * A page for everybody, packed for who takes that: the reference is an eighth then. No other page is, for the length of what is packed tells
 * of a secret that stands beside another's text.
 */
function packed(res: Response, html: string): string | Buffer {
  res.vary('Accept-Encoding');
  if (res.req.acceptsEncodings(['gzip', 'identity']) !== 'gzip') return html;
  res.set('Content-Encoding', 'gzip');
  return gzipSync(html);
}

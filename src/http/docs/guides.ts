import { readFileSync } from 'node:fs';
import { escape, renderMarkdown, type Rendered } from './markdown.ts';

/** A text of the repository's `docs/` that is a page of the site too. */
export interface Guide {
  /** Its file's name without `.md`, and its path below `/docs/`. */
  readonly name: string;
  /** What the menu calls it. */
  readonly label: string;
  /** Whom it is for: those who use a gateway, or those who run one. */
  readonly reader: 'user' | 'operator';
}

const DIRECTORY = new URL('../../../docs/', import.meta.url);
/** The address that the texts show: each gateway puts its own in its place. */
export const SHOWN_ORIGIN = 'http://127.0.0.1:8402';

/** The guides, in the order of the menu. */
export const GUIDES: readonly Guide[] = [
  { name: 'start', label: 'Start', reader: 'user' },
  { name: 'costs', label: 'Costs', reader: 'user' },
  { name: 'keys', label: 'Keys and budgets', reader: 'user' },
  { name: 'console', label: 'Console', reader: 'user' },
  { name: 'wallets', label: 'Wallets', reader: 'user' },
  { name: 'reports', label: 'Reports and receipts', reader: 'user' },
  { name: 'streams', label: 'Streams', reader: 'user' },
  { name: 'router', label: 'Models and routing', reader: 'user' },
  { name: 'byok', label: 'Own provider key', reader: 'user' },
  { name: 'agents', label: 'Agents', reader: 'user' },
  { name: 'mcp', label: 'MCP', reader: 'user' },
  { name: 'running', label: 'Running your own', reader: 'user' },
  { name: 'deploy', label: 'On a server', reader: 'operator' },
  { name: 'providers', label: 'Providers', reader: 'operator' },
  { name: 'prices', label: 'Prices', reader: 'operator' },
  { name: 'lightning', label: 'Lightning', reader: 'operator' },
  { name: 'operating', label: 'Operating', reader: 'operator' },
  { name: 'secrets', label: 'Secrets', reader: 'operator' },
  { name: 'performance', label: 'Performance', reader: 'operator' },
  { name: 'a-sat-through-pura', label: 'A sat through Pura', reader: 'operator' },
  { name: 'architecture', label: 'Architecture', reader: 'operator' },
];

const rendered = new Map<string, Rendered>();

/** A guide's page with `origin` in its examples; null where there is no such guide. */
export function guidePage(name: string, origin: string): (Rendered & { readonly guide: Guide }) | null {
  const guide = GUIDES.find((each) => each.name === name);
  if (!guide) return null;
  const page = rendered.get(name) ?? renderMarkdown(readFileSync(new URL(`${name}.md`, DIRECTORY), 'utf8'), { href: siteHref });
  rendered.set(name, page);
  // What an operator reads is about a gateway that is yet to run.
  return {
    guide,
    ...page,
    html: guide.reader === 'user' && name !== 'running' ? page.html.replaceAll(SHOWN_ORIGIN, () => escape(origin)) : page.html,
  };
}

/** Where a link from one text to another leads on the site. */
function siteHref(href: string): string | null {
  const [, name, anchor = ''] = /^(?:\.\/)?([\w-]+)\.md(#.*)?$/.exec(href) ?? [];
  if (name !== undefined) return GUIDES.some((guide) => guide.name === name) ? `/docs/${name}${anchor}` : null;
  // Files of the repository are not served.
  return /^(https?:|#|\/)/.test(href) ? href : null;
}

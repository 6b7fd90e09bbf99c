import { expect } from '@jest/globals';
import { mkdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import type { Browser, BrowserContext, BrowserContextOptions, Page, Request } from 'playwright-core';

/** The two sizes and the two colour schemes that every page is looked at in. */
export const PHONE = { viewport: { width: 390, height: 844 }, deviceScaleFactor: 1, hasTouch: true } satisfies BrowserContextOptions;
export const DESKTOP = { viewport: { width: 1280, height: 800 } } satisfies BrowserContextOptions;
export const LOOKS = [
  { name: 'phone-light', options: { ...PHONE, colorScheme: 'light' }, checked: true },
  { name: 'phone-dark', options: { ...PHONE, colorScheme: 'dark' }, checked: false },
  { name: 'desktop-light', options: { ...DESKTOP, colorScheme: 'light' }, checked: false },
  { name: 'desktop-dark', options: { ...DESKTOP, colorScheme: 'dark' }, checked: true },
] as const;

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const AXE_TAGS = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];
/** What a page may load: on a first visit, and once a browser has the sheet and the script that all pages share. */
const MOST_REQUESTS = 5;
const FIRST_VISIT_BYTES = 60 * 1024;
const LATER_VISIT_BYTES = 20 * 1024;
/** Of the narrowest screen, and of a page at 1280 px and a zoom of 400 %. */
const NARROWEST = 320;

interface AxeViolation {
  id: string;
  nodes: { html: string; failureSummary?: string }[];
}

export interface WatchedPage {
  readonly page: Page;
  readonly context: BrowserContext;
  /** What the page asked of others than `origin`, what failed, and what its console said. Empty, or the test fails. */
  readonly complaints: string[];
  /** Paths that were asked for, newest last. */
  readonly requested: string[];
  /** What has been loaded since this was last asked: requests that have ended, and their bytes as they came over the wire. */
  loaded(): Promise<{ requests: number; bytes: number }>;
  close(): Promise<void>;
}

/** A new tab whose every request and complaint is noted. `expected`: what a test causes on purpose. */
export async function watchedPage(
  browser: Browser,
  origin: string,
  options: BrowserContextOptions = {},
  { expected }: { expected?: RegExp } = {},
): Promise<WatchedPage> {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  const complaints: string[] = [];
  const requested: string[] = [];
  let ended: Request[] = [];
  const complain = (text: string): void => {
    if (!expected?.test(text)) complaints.push(text);
  };
  page.on('request', (request) => {
    const url = new URL(request.url());
    requested.push(url.pathname + url.search);
    if (url.origin !== origin) complain(`asked ${request.url()}`);
  });
  page.on('requestfinished', (request) => ended.push(request));
  // Leaving a page ends what it still waits for: that is no failure.
  page.on('requestfailed', (request) => {
    if (request.failure()?.errorText !== 'net::ERR_ABORTED') complain(`failed: ${request.url()} ${request.failure()?.errorText ?? ''}`);
  });
  page.on('response', (response) => {
    if (response.status() >= 400) complain(`${response.status()} for ${response.url()}`);
  });
  page.on('console', (message) => complain(`console: ${message.text()}`));
  page.on('pageerror', (error) => complain(`error: ${error.message}`));
  const loaded = async (): Promise<{ requests: number; bytes: number }> => {
    const sizes = await Promise.all(ended.map((request) => request.sizes()));
    ended = [];
    const bytes = sizes.reduce((sum, { responseHeadersSize, responseBodySize }) => sum + responseHeadersSize + responseBodySize, 0);
    return { requests: sizes.length, bytes };
  };
  return { page, context, complaints, requested, loaded, close: () => context.close() };
}

/**
 * What every page must be, wherever it is checked: axe-core finds nothing, one `h1`, a title, no horizontal scroll at 320 px, also with wide
 * letters, nothing moves for who wants that, buttons and fields are seen without their grounds, and every stop of the keyboard is seen.
 */
export async function checkPage(page: Page): Promise<void> {
  expect(await axeViolations(page)).toEqual([]);
  expect(await page.locator('h1').count()).toBe(1);
  expect(await page.title()).toMatch(/\S · Pura/);
  await checkNarrow(page);
  await checkWishes(page);
  await checkFocus(page);
}

/** What axe-core finds, each with the element it found it at. */
export async function axeViolations(page: Page): Promise<string[]> {
  // By the browser's own debugger, so that the page's policy stays as it is.
  await page.evaluate(AXE);
  const run = `axe.run({ runOnly: { type: 'tag', values: ${JSON.stringify(AXE_TAGS)} } }).then(({ violations }) => violations)`;
  const violations = await page.evaluate<AxeViolation[]>(run);
  return violations.flatMap(({ id, nodes }) => nodes.map(({ html, failureSummary }) => `${id}: ${html} ${failureSummary ?? ''}`));
}

/** Run by the browser: what makes the page wider than its window. */
const TOO_WIDE = `document.documentElement.scrollWidth <= innerWidth ? [] : [...document.body.querySelectorAll('*')]
  .filter((element) => element.getBoundingClientRect().right > innerWidth)
  .map((element) => element.outerHTML.slice(0, 120))`;

/** Run by the browser: a reader's own spacing of text, as WCAG 1.4.12 has it. A sheet of this kind is none that the page's policy forbids. */
const SPACED = `(() => {
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(\`* { line-height: 1.5 !important; letter-spacing: 0.12em !important; word-spacing: 0.16em !important }
    p { margin-bottom: 2em !important }\`);
  document.adoptedStyleSheets = [sheet];
})()`;
/** Run by the browser: text that its own box cuts off. What is for the ear alone is cut on purpose. */
const CUT = `[...document.body.querySelectorAll('*')].filter((element) => {
  const { overflowX, overflowY, clipPath } = getComputedStyle(element);
  const cuts = overflowX === 'hidden' || overflowX === 'clip' || overflowY === 'hidden' || overflowY === 'clip';
  const isOver = element.scrollWidth > element.clientWidth + 1 || element.scrollHeight > element.clientHeight + 1;
  return cuts && isOver && clipPath === 'none' && element.clientWidth > 0 && !element.matches('svg, input, textarea, select');
}).map((element) => element.outerHTML.slice(0, 120))`;

async function checkNarrow(page: Page): Promise<void> {
  const before = page.viewportSize();
  await page.setViewportSize({ width: NARROWEST, height: 640 });
  const wide = await page.evaluate<string[]>(TOO_WIDE);
  await page.evaluate(SPACED);
  const spaced = await page.evaluate<string[]>(TOO_WIDE);
  const cut = await page.evaluate<string[]>(CUT);
  await page.evaluate('document.adoptedStyleSheets = []');
  if (before) await page.setViewportSize(before);
  expect({ wide, spaced, cut }).toEqual({ wide: [], spaced: [], cut: [] });
}

const MOVING = `document.getAnimations().map(({ effect }) => effect.target.outerHTML.slice(0, 120))`;
/** Run by the browser: buttons and fields without an edge. */
const EDGELESS = `[...document.querySelectorAll('button, .button, input, select, textarea')].filter((element) => {
  if (!element.checkVisibility() || element.matches('[type=hidden], [type=radio], [type=checkbox]')) return false;
  const { borderTopStyle, borderTopWidth } = getComputedStyle(element);
  return borderTopStyle === 'none' || borderTopWidth === '0px';
}).map((element) => element.outerHTML.slice(0, 120))`;

/** The reader's wishes: nothing that moves, and the reader's own colours, which take all grounds away. */
async function checkWishes(page: Page): Promise<void> {
  await page.emulateMedia({ reducedMotion: 'reduce', forcedColors: 'active' });
  const moving = await page.evaluate<string[]>(MOVING);
  const edgeless = await page.evaluate<string[]>(EDGELESS);
  await page.emulateMedia({ reducedMotion: null, forcedColors: null });
  expect({ moving, edgeless }).toEqual({ moving: [], edgeless: [] });
}

const MOST_STOPS = 40;
/** Run by the browser: whether what has the focus shows that, and lies within the window. */
const FOCUSED = `(() => {
  const element = document.activeElement;
  if (!element || element === document.body) return null;
  const { outlineStyle, outlineWidth } = getComputedStyle(element);
  const { bottom, top, right, left } = element.getBoundingClientRect();
  const isInWindow = bottom > 0 && top < innerHeight && right > 0 && left < innerWidth;
  return { seen: outlineStyle !== 'none' && outlineWidth !== '0px' && isInWindow, html: element.outerHTML.slice(0, 120) };
})()`;

/** Goes through the page by Tab: each stop has an outline, and nothing of it lies outside the window once it has the focus. */
async function checkFocus(page: Page): Promise<void> {
  await page.evaluate('document.activeElement?.blur()');
  const unseen: string[] = [];
  for (let stop = 0; stop < MOST_STOPS; stop++) {
    await page.keyboard.press('Tab');
    const at = await page.evaluate<{ seen: boolean; html: string } | null>(FOCUSED);
    if (!at) break;
    if (!at.seen) unseen.push(at.html);
  }
  expect(unseen).toEqual([]);
}

/** Keeps a picture of the page where `PAGE_PICTURES` names a directory: `<name>-<look>.png`. Pages that show a secret get none. */
export async function takePicture(page: Page, name: string): Promise<void> {
  const directory = process.env['PAGE_PICTURES'];
  if (!directory) return;
  mkdirSync(directory, { recursive: true });
  await page.screenshot({ path: path.join(directory, `${name}.png`), fullPage: true });
}

/**
 * Pages on a phone in light and on a desktop in dark: each is opened, weighed, checked and, where it is asked for, pictured in the other looks too.
 * Titles must differ, unless they are those of one page.
 */
export async function checkPages(
  browser: Browser,
  origin: string,
  pages: Readonly<Record<string, string>>,
  { cookies = [], sameTitles = false }: { cookies?: readonly { name: string; value: string }[]; sameTitles?: boolean } = {},
): Promise<void> {
  for (const look of LOOKS) {
    if (!look.checked && !process.env['PAGE_PICTURES']) continue;
    const watched = await watchedPage(browser, origin, look.options);
    const titles = new Set<string>();
    try {
      await watched.context.addCookies(cookies.map((cookie) => ({ ...cookie, url: origin })));
      for (const [name, address] of Object.entries(pages)) {
        await watched.page.goto(origin + address);
        const { requests, bytes } = await watched.loaded();
        const isLight = requests <= MOST_REQUESTS && bytes <= (titles.size === 0 ? FIRST_VISIT_BYTES : LATER_VISIT_BYTES);
        expect({ name, requests, bytes, isLight }).toMatchObject({ isLight: true });
        await takePicture(watched.page, `${name}-${look.name}`);
        if (look.checked) await checkPage(watched.page);
        titles.add(await watched.page.title());
      }
      expect(watched.complaints).toEqual([]);
      if (!sameTitles) expect(titles.size).toBe(Object.keys(pages).length);
    } finally {
      await watched.close();
    }
  }
}

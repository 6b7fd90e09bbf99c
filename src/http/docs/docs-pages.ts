import type { Request, RequestHandler, Response } from 'express';
import { ERRORS, GatewayError, type ErrorCode } from '../../errors.ts';
import type { Frame } from '../pages/pages.ts';
import { originOf } from '../server/origin.ts';
import type { DocsDeps } from './add-docs.ts';
import { ERROR_HELP } from './error-help.ts';
import { GUIDES, guidePage } from './guides.ts';
import { renderInline } from './markdown.ts';
import { groupsOf, referenceEntries } from './reference.ts';

const MENU = [...GUIDES.filter(({ reader }) => reader === 'user').map(({ name, label }) => ({ href: `/docs/${name}`, name: label }))];
/** Errors belong to what is read before things go wrong; the reference follows all of that. */
const SECTIONS = [
  ...MENU.slice(0, 4),
  { href: '/docs/errors', name: 'Errors' },
  ...MENU.slice(4, -1),
  { href: '/docs/api', name: 'Reference' },
  ...MENU.slice(-1),
];

/** The pages of `/docs`: guides, errors, and the reference made from the document that programs get. */
export function docsPages(deps: DocsDeps): Record<'start' | 'guide' | 'errors' | 'reference' | 'group', RequestHandler> {
  const { pages, config, operations, document } = deps;

  function send(res: Response, view: string, page: { title: string; section: string }, data: object): void {
    const frame: Frame = {
      // The console has pages of the same names.
      title: `${page.title} · Docs`,
      public: true,
      menu: { label: 'Documentation', sections: SECTIONS, current: page.section },
    };
    pages.send(res, `docs/${view}`, frame, data);
  }

  function sendGuide(req: Request, res: Response, name: string): void {
    const page = guidePage(name, originOf(req, config.PUBLIC_URL));
    if (!page) throw new GatewayError('not_found');
    const section = page.guide.reader === 'user' ? `/docs/${name}` : '/docs/running';
    send(res, 'guide', { title: page.title, section }, { heading: page.title, html: page.html });
  }

  return {
    start: (req, res) => sendGuide(req, res, 'start'),

    guide: (req, res) => sendGuide(req, res, String(req.params['name'])),

    errors(_req, res) {
      const errors = (Object.keys(ERRORS) as ErrorCode[]).map((code) => {
        const { cause, charged = 'Nothing was charged.', remedy } = ERROR_HELP[code];
        return { ...ERRORS[code], code, cause: renderInline(cause), charged: renderInline(charged), remedy: renderInline(remedy) };
      });
      send(res, 'errors', { title: 'Errors', section: '/docs/errors' }, { errors });
    },

    reference(_req, res) {
      send(res, 'groups', { title: 'Reference', section: '/docs/api' }, { groups: groupsOf(operations()) });
    },

    group(req, res) {
      const group = groupsOf(operations()).find(({ name }) => name === req.params['group']);
      if (!group) throw new GatewayError('not_found');
      const entries = referenceEntries(group, document(), originOf(req, config.PUBLIC_URL));
      send(res, 'reference', { title: `Reference: ${group.tag}`, section: '/docs/api' }, { group, entries });
    },
  };
}

import type { Response } from 'express';
import type { Banner, Frame, Pages, Section } from '../pages/pages.ts';
import { operatorOf } from './admin-session.ts';

/** The operator's pages, in their order. */
export const ADMIN_SECTIONS: readonly Section[] = [
  { href: '/admin', name: 'Money' },
  { href: '/admin/accounts', name: 'Accounts' },
  { href: '/admin/invoices', name: 'Invoices' },
  { href: '/admin/withdrawals', name: 'Withdrawals' },
  { href: '/admin/orphans', name: 'Orphans' },
  { href: '/admin/providers', name: 'Providers' },
  { href: '/admin/free-tier', name: 'Free tier' },
  { href: '/admin/audit', name: 'Audit' },
  { href: '/admin/system', name: 'System' },
  { href: '/admin/acts', name: 'Acts' },
];

export interface AdminPage extends Pick<Frame, 'title' | 'refreshSeconds'> {
  /** The `href` of the section in the menu. */
  readonly section: string;
  readonly banners?: readonly Banner[];
  readonly status?: number;
}

/** Sends an operator's page within its frame: `views/admin/<view>.eta`. */
export function sendAdmin(pages: Pages, res: Response, view: string, page: AdminPage, data: object = {}): void {
  const frame: Frame = {
    ...page,
    menu: { label: 'Admin', sections: ADMIN_SECTIONS, current: page.section },
    corner: operatorOf(res).name,
  };
  pages.send(res, `admin/${view}`, frame, { ...data, title: page.title }, page.status);
}

import type { Express } from 'express';
import type { KeyAuthenticator } from '../../accounts/key-authenticator.ts';
import { Sessions } from '../../accounts/sessions.ts';
import type { Config } from '../../config/config.ts';
import type { Pool } from '../../db/postgres.ts';
import { readForm } from '../pages/form.ts';
import type { Pages } from '../pages/pages.ts';
import type { OwnPageConfig } from '../server/own-site.ts';
import { ConsoleFrame } from './console-frame.ts';
import { requireSession } from './signed-in.ts';
import { signInHandlers } from './sign-in.ts';

export interface ConsoleDeps {
  pool: Pool;
  pages: Pages;
  keys: Pick<KeyAuthenticator, 'authenticate'>;
  config: Pick<Config, 'FREE_TIER_REQUESTS'> & OwnPageConfig;
}

/** Adds `/console`: a person's view of an account. */
export function addConsole(app: Express, deps: ConsoleDeps): void {
  const { pages, pool, config } = deps;
  const sessions = new Sessions(pool);
  const signIn = signInHandlers({ ...deps, sessions });
  const frame = new ConsoleFrame(deps);
  const form = readForm(config);
  const session = requireSession({ sessions, pages, config });

  app.get('/console/sign-in', signIn.page);
  app.post('/console/sign-in', form, signIn.signIn);
  app.post('/console/sign-out', form, signIn.signOut);
  app.get('/console', session, (_req, res) => frame.send(res, 'console/overview', { title: 'Overview', section: '/console' }));
}

import type { Express } from 'express';
import type { KeyAuthenticator } from '../../accounts/key-authenticator.ts';
import { Sessions } from '../../accounts/sessions.ts';
import type { Config } from '../../config/config.ts';
import type { Pool } from '../../db/postgres.ts';
import { readForm } from '../pages/form.ts';
import type { Pages } from '../pages/pages.ts';
import { addRoute } from '../server/operation.ts';
import type { OwnPageConfig } from '../server/own-site.ts';
import { CONSOLE_OPERATIONS } from './console-operations.ts';
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

  addRoute(app, CONSOLE_OPERATIONS.signIn, signIn.page);
  addRoute(app, CONSOLE_OPERATIONS.sendSignIn, form, signIn.signIn);
  addRoute(app, CONSOLE_OPERATIONS.signOut, form, signIn.signOut);
  addRoute(app, CONSOLE_OPERATIONS.overview, session, (_req, res) =>
    frame.send(res, 'console/overview', { title: 'Overview', section: '/console' }),
  );
}

import type { Config } from './config/config.ts';
import type { OpenDatabase } from './db/open-database.ts';
import type { RunningServer } from './start-server.ts';

/** What `npm start` says once it serves: what is used, and commands that work when pasted. */
export function greeting({ config, database, server }: { config: Config; database: OpenDatabase; server: RunningServer }): string {
  const { url, models, wallet } = server;
  const store = database.embedded
    ? `embedded PostgreSQL in ${database.dataDir}${database.embedded.adopted ? ' (found running)' : ''}`
    : 'PostgreSQL at DATABASE_URL';
  const providers = models.providers
    .map(({ id, demo }) => (demo ? `${id} (built in: no model is called, no money is spent)` : id))
    .join(', ');
  const simulated = wallet.backend === 'simulated';
  return `
Pura listens on ${url}
  database   ${store}
  providers  ${providers}
  wallet     ${simulated ? 'simulated (play money: its invoices are paid at /dev/lightning/pay)' : wallet.backend}
  free       ${config.FREE_TIER_REQUESTS} requests an account, then Lightning

Make a key, chat, pay:

  export MY_PURA_KEY=$(curl -s -X POST ${url}/api/keys -H 'content-type: application/json' -d '{"label":"me"}' | sed 's/.*"key":"\\([^"]*\\)".*/\\1/')

  curl -sN ${url}/api/chat -H "authorization: Bearer $MY_PURA_KEY" -H 'content-type: application/json' -d '{"messages":[{"role":"user","content":"Hello"}]}'

  ${payCommand(url, simulated)}
`;
}

function payCommand(url: string, simulated: boolean): string {
  const fund = `curl -s -X POST ${url}/api/wallet/fund -H "authorization: Bearer $MY_PURA_KEY" -H 'content-type: application/json' -d '{"amount":1000}'`;
  if (!simulated) return fund;
  return `${fund} | sed 's/.*"paymentRequest":"\\([^"]*\\)".*/{"paymentRequest":"\\1"}/' | curl -s -X POST ${url}/dev/lightning/pay -H 'content-type: application/json' -d @-`;
}

import { isProven, type Session } from '../../accounts/sessions.ts';
import { readWaysOut } from '../../accounts/ways-out.ts';
import type { Pool } from '../../db/postgres.ts';
import type { Banner } from '../pages/pages.ts';

/**
 * What somebody has to know who signed in with a wallet before money comes in: whose account that is, a wallet does not tell. Another site can
 * have had it sign for an account of its own (relay attack), whose owner would take out what its victim pays in. Said until the session has
 * shown a proof.
 */
export async function waysOutBanner(pool: Pool, session: Session): Promise<Banner[]> {
  if (isProven(session)) return [];
  const { ownerKeys, wallets } = await readWaysOut(pool, session.accountId);
  const text = `${counted(ownerKeys, 'owner key')} and ${counted(wallets, 'linked wallet')} can take out what is paid in here. If one of them is not yours, pay nothing in.`;
  return [
    {
      kind: 'info',
      text,
      links: [
        { href: '/console/keys', name: 'Keys' },
        { href: '/console/wallets', name: 'Wallets' },
      ],
    },
  ];
}

function counted(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? '' : 's'}`;
}

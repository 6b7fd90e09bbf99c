/** Names that payers would take for the operator, or that mail and the web give to somebody. */
const RESERVED = new Set(
  `abuse account accounts admin administrator admins api auth billing bot console contact customercare customerservice dev donate donations
  finance founder gateway help helpdesk hostmaster info invoice invoices legal lightning lnurl mail mailerdaemon moderator money newsletter nobody
  noreply null official operator operators owner pay payment payments postmaster press privacy refund refunds root sales satoshi
  satoshinakamoto security service services staff status support sysadmin system team treasury trust undefined wallet wallets webmaster www`.split(
    /\s+/,
  ),
);

/** Whether a handle would pass for the operator's own, marks and numbers in it aside: `support-24`, `ad.min`, and whatever begins with Pura. */
export function isReservedHandle(handle: string): boolean {
  const word = handle.replaceAll(/[^a-z]/g, '');
  return RESERVED.has(word) || word.startsWith('pura');
}

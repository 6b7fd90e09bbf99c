/** The BOLT11 invoice behind the URL that a client shows, as a wallet reads it from the page. Rejects where no URL is shown. */
export async function shownInvoice(shown: string): Promise<string> {
  const [url] = /https?:\/\/[^\s/"]+\/invoice\/[\w-]+/.exec(shown) ?? [];
  if (!url) throw new Error(`no invoice is shown: ${shown}`);
  const page = await (await fetch(url)).text();
  return /lightning:(lnbc\w+)/i.exec(page)?.[1]?.toLowerCase() ?? '';
}

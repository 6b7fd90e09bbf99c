/** A browser that is signed in, as its cookies and as a way to ask: it follows nothing by itself. */
export interface SignedIn {
  readonly cookies: { name: string; value: string }[];
  /** GETs, or POSTs a form. */
  ask(path: string, form?: Record<string, string> | [string, string][], headers?: Record<string, string>): Promise<PageAnswer>;
}

export interface PageAnswer {
  readonly status: number;
  readonly headers: Headers;
  readonly html: string;
}

/** Signs in at the console with a key. */
export async function signedIn(origin: string, secret: string): Promise<SignedIn> {
  const signIn = await fetch(`${origin}/console/sign-in`, {
    method: 'POST',
    redirect: 'manual',
    body: new URLSearchParams({ key: secret }),
  });
  if (signIn.status !== 303) throw new Error(`not signed in: ${signIn.status} ${await signIn.text()}`);
  return withCookies(origin, signIn.headers);
}

/** The same with the cookies that an answer sets. */
export function withCookies(origin: string, headers: Headers): SignedIn {
  const pairs = headers.getSetCookie().map((line) => line.split(';')[0] ?? '');
  const cookies = pairs.map((pair) => ({ name: pair.slice(0, pair.indexOf('=')), value: pair.slice(pair.indexOf('=') + 1) }));
  return {
    cookies,
    async ask(path, form, more = {}) {
      const response = await fetch(origin + path, {
        method: form ? 'POST' : 'GET',
        redirect: 'manual',
        headers: { cookie: pairs.join('; '), accept: 'text/html', ...more },
        ...(form && { body: new URLSearchParams(form) }),
      });
      return { status: response.status, headers: response.headers, html: await response.text() };
    },
  };
}

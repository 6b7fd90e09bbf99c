/** A browser without its window: keeps its cookies, and follows nothing by itself. */
export class CookieBrowser {
  readonly cookies = new Map<string, string>();
  readonly #origin: string;

  constructor(origin: string) {
    this.#origin = origin;
  }

  async ask(path: string, form?: Record<string, string>) {
    const response = await fetch(this.#origin + path, {
      method: form ? 'POST' : 'GET',
      redirect: 'manual',
      headers: { cookie: [...this.cookies].map(([name, value]) => `${name}=${value}`).join('; ') },
      ...(form && { body: new URLSearchParams(form) }),
    });
    for (const line of response.headers.getSetCookie()) {
      const [name = '', value = ''] = (line.split(';')[0] ?? '').split('=');
      if (value === '') this.cookies.delete(name);
      else this.cookies.set(name, value);
    }
    return { status: response.status, location: response.headers.get('location'), html: await response.text() };
  }

  async signIn(key: string): Promise<this> {
    await this.ask('/console/sign-in', { key });
    return this;
  }

  isSignedIn(): Promise<boolean> {
    return this.ask('/console').then(({ status }) => status === 200);
  }
}

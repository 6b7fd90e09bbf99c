/** An answer to a person's browser, which follows nothing by itself here. */
export interface PageAnswer {
  readonly status: number;
  readonly headers: Headers;
  readonly html: string;
}

/** A browser of an operator's, without scripts. */
export class OperatorClient {
  readonly #origin: string;
  cookie: string | undefined;

  constructor(origin: string) {
    this.#origin = origin;
  }

  /** `form` makes it a POST. */
  async ask(path: string, form?: Record<string, string>, headers: Record<string, string> = {}): Promise<PageAnswer> {
    const response = await fetch(this.#origin + path, {
      method: form ? 'POST' : 'GET',
      redirect: 'manual',
      headers: { ...(this.cookie !== undefined && { cookie: this.cookie }), ...headers },
      ...(form && { body: new URLSearchParams(form) }),
    });
    return { status: response.status, headers: response.headers, html: await response.text() };
  }

  async signIn(form: Record<string, string>): Promise<PageAnswer> {
    const answer = await this.ask('/admin/sign-in', form);
    this.cookie = answer.headers.getSetCookie()[0]?.split(';')[0];
    return answer;
  }

  /** Opens an act's page and sends its form, confirming where that is asked for. Gives the last answer. */
  async act(path: string, fields: Record<string, string>): Promise<PageAnswer> {
    const page = await this.ask(path);
    const sent = await this.ask(path, { act_id: hidden(page.html, 'act_id'), ...fields });
    if (!sent.html.includes('name="confirmed"')) return sent;
    return this.ask(path, { act_id: hidden(sent.html, 'act_id'), ...fields, confirmed: 'yes' });
  }
}

function hidden(html: string, name: string): string {
  return new RegExp(`name="${name}" value="([^"]*)"`).exec(html)?.[1] ?? '';
}

import { Marked, type Tokens } from 'marked';

/** A page's text: its title, and HTML of all below it. */
export interface Rendered {
  readonly title: string;
  readonly html: string;
}

export interface MarkdownOptions {
  /** Where a link of the text leads on the site; null where it leads nowhere there, and only its words are shown. */
  href?: (href: string) => string | null;
}

/** The project's own texts as HTML. What they hold is trusted, as the source is. */
export function renderMarkdown(text: string, { href = (link) => link }: MarkdownOptions = {}): Rendered {
  let title = '';
  let blocks = 0;
  const ids = new Set<string>();
  const marked = new Marked({
    renderer: {
      heading({ tokens, depth, text: words }: Tokens.Heading) {
        if (depth === 1) {
          title = plain(words);
          return '';
        }
        const id = unique(slug(words), ids);
        return `<h${depth} id="${id}">${this.parser.parseInline(tokens)} <a class="anchor" href="#${id}" aria-label="Link to: ${escape(plain(words))}">#</a></h${depth}>\n`;
      },
      code({ text: code }: Tokens.Code) {
        return codeBlock(code, `code-${++blocks}`);
      },
      link({ href: link, tokens }: Tokens.Link) {
        const to = href(link);
        const words = this.parser.parseInline(tokens);
        return to === null ? words : `<a href="${escape(to)}">${words}</a>`;
      },
      table(token: Tokens.Table) {
        const cells = (row: readonly Tokens.TableCell[], tag: string) =>
          row.map((cell) => headed(tag, this.parser.parseInline(cell.tokens))).join('');
        const rows = token.rows.map((row) => `<tr>${cells(row, 'td')}</tr>`).join('\n');
        return `<div class="scroll" tabindex="0" role="group" aria-label="Table"><table class="list"><thead><tr>${cells(token.header, 'th')}</tr></thead><tbody>${rows}</tbody></table></div>\n`;
      },
    },
  });
  const html = marked.parse(text, { async: false });
  return { title, html };
}

/** One line of Markdown: code and links. */
export function renderInline(text: string): string {
  return new Marked().parseInline(text, { async: false });
}

/** Code that can be copied, and scrolls within its box. */
export function codeBlock(code: string, id: string): string {
  return `<div class="code"><pre id="${id}" tabindex="0">${escape(code)}</pre><button class="button small" type="button" data-copy="${id}" hidden>Copy</button></div>\n`;
}

export function escape(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
}

/** A heading's words as an anchor, as repositories' pages make it. */
export function slug(words: string): string {
  return plain(words)
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N}\s_-]/gu, '')
    .trim()
    .replaceAll(/\s/g, '-');
}

/** A column without a name has nothing to head it. */
const headed = (tag: string, words: string) => (tag === 'th' && words !== '' ? `<th scope="col">${words}</th>` : `<td>${words}</td>`);

const plain = (words: string) => words.replaceAll(/[`*]|\[([^\]]*)\]\([^)]*\)/g, '$1');

function unique(id: string, taken: Set<string>): string {
  let name = id;
  for (let times = 1; taken.has(name); times++) name = `${id}-${times}`;
  taken.add(name);
  return name;
}

/** Markdown → HTML: headings with the anchors that code hosts give them, links resolved, code coloured. */
import GithubSlugger from 'github-slugger';
import { Marked, type Tokens } from 'marked';
import { codeBlock, escape, languageOf } from './highlight.js';

export interface Heading {
  depth: number;
  /** HTML of its text. */
  html: string;
  /** Its words alone. */
  text: string;
  anchor: string;
}

export interface Rendered {
  html: string;
  headings: Heading[];
}

export interface MarkdownContext {
  /** What a link's or a picture's address becomes. */
  link(href: string): string;
  /** The address that a piece of code alone leads to, where it is the name of something. */
  codeLink(code: string): string | undefined;
  /** Told of what cannot be shown well. */
  problem(message: string): void;
}

/** The words of some HTML. */
export const wordsOf = (html: string): string =>
  html
    .replace(/<[^>]*>/g, '')
    .replace(/&(amp|lt|gt|quot|#39);/g, (_, name: string) => ({ amp: '&', lt: '<', gt: '>', quot: '"' })[name] ?? "'");

/** Renders a document, or a comment of the source. */
export function render(markdown: string, { link, codeLink, problem }: MarkdownContext): Rendered {
  const slugger = new GithubSlugger();
  const headings: Heading[] = [];
  let inLink = 0;
  const marked = new Marked({
    gfm: true,
    renderer: {
      heading({ tokens, depth }: Tokens.Heading): string {
        const html = this.parser.parseInline(tokens);
        const text = wordsOf(html);
        const anchor = slugger.slug(text);
        headings.push({ depth, html, text, anchor });
        const mark = depth === 1 ? '' : ` <a class="anchor" href="#${anchor}" aria-label="Link to this section">#</a>`;
        return `<h${depth} id="${anchor}">${html}${mark}</h${depth}>\n`;
      },
      code({ text, lang = '' }: Tokens.Code): string {
        const word = lang.split(/\s/)[0] as string;
        const language = languageOf(word);
        if (language === undefined) problem(`a block of code is in '${word}', which the site cannot colour`);
        return `${codeBlock(text, language ?? 'text')}\n`;
      },
      codespan({ text }: Tokens.Codespan): string {
        const html = `<code>${escape(text)}</code>`;
        const href = inLink > 0 ? undefined : codeLink(text);
        return href === undefined ? html : `<a href="${escape(href)}">${html}</a>`;
      },
      link({ href, title, tokens }: Tokens.Link): string {
        inLink++;
        const html = this.parser.parseInline(tokens);
        inLink--;
        const hint = title ? ` title="${escape(title)}"` : '';
        return `<a href="${escape(link(href))}"${hint}>${html}</a>`;
      },
      image({ href, text }: Tokens.Image): string {
        if (text === '') problem(`the picture '${href}' has no words for those who do not see it`);
        return `<img src="${escape(link(href))}" alt="${escape(text)}">`;
      },
    },
  });
  const html = marked.parse(markdown, { async: false });
  // A wide table scrolls inside itself, also by the keyboard.
  const scrolling = html
    .replaceAll('<table>', '<div class="scroll" tabindex="0"><table>')
    .replaceAll('</table>', '</table></div>');
  return { html: scrolling, headings };
}

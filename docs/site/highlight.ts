/** Code, coloured when the site is built: classes that the style sheet gives a colour each, by light and by dark. */
import { type BundledLanguage, createHighlighter } from 'shiki';

/** A theme whose colours are numbers of kinds: what a browser sees are classes `k1` … `k6`. */
const kinds: readonly (readonly string[])[] = [
  ['comment', 'punctuation.definition.comment'],
  ['string', 'constant.character', 'markup.inline.raw', 'punctuation.definition.string'],
  ['keyword', 'storage', 'keyword.operator.expression', 'variable.language'],
  ['entity.name.function', 'support.function', 'meta.function-call entity.name.function'],
  ['entity.name.type', 'entity.name.class', 'support.type', 'support.class', 'entity.other.inherited-class'],
  ['constant.numeric', 'constant.language', 'keyword.other.unit'],
];
const plain = ['keyword.operator', 'string.unquoted', 'meta.template.expression', 'support.type.property-name'];
const colour = (kind: number): string => `#00000${kind}`;

const languages: BundledLanguage[] = [
  'ts',
  'js',
  'json',
  'sh',
  'toml',
  'yaml',
  'c',
  'html',
  'css',
  'python',
  'docker',
  'ini',
];
const highlighter = await createHighlighter({
  langs: languages,
  themes: [
    {
      name: 'kinds',
      type: 'light',
      fg: colour(0),
      bg: '#ffffff',
      settings: [
        ...kinds.map((scope, index) => ({ scope: [...scope], settings: { foreground: colour(index + 1) } })),
        { scope: plain, settings: { foreground: colour(0) } },
      ],
    },
  ],
});

export const escape = (text: string): string =>
  text.replace(/[&<>"]/g, (sign) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' })[sign] as string);

/** A part of the code that leads somewhere. Parts are in order and do not overlap. */
export interface CodeLink {
  start: number;
  end: number;
  href: string;
}

/** A language in colours, or none. */
export type Language = BundledLanguage | 'text';

/** The language that a word after a fence, or the end of a file's name, stands for; undefined for one without colours here. */
export function languageOf(word: string): Language | undefined {
  if (['', 'text', 'txt', 'console'].includes(word)) return 'text';
  return languages.find((language) => language === word.replace(/^m([jt]s)$/, '$1'));
}

/** The code as lines of HTML, each complete in itself. */
export function highlight(code: string, language: Language, links: readonly CodeLink[] = []): string[] {
  if (language === 'text') return code.split('\n').map(session);
  const { tokens } = highlighter.codeToTokens(code, { lang: language, theme: 'kinds' });
  let next = 0;
  return tokens.map((line) => {
    let html = '';
    for (const { content, offset, color = colour(0) } of line) {
      let at = 0;
      for (; next < links.length; next++) {
        const { start, end, href } = links[next] as CodeLink;
        if (end > offset + content.length) break;
        html += dressed(content.slice(at, start - offset), color);
        html += `<a href="${escape(href)}">${dressed(content.slice(start - offset, end - offset), color)}</a>`;
        at = end - offset;
      }
      html += dressed(content.slice(at), color);
    }
    return html;
  });
}

/** A piece of one colour. */
function dressed(text: string, color: string): string {
  const kind = color.at(-1);
  return text === '' || kind === '0' ? escape(text) : `<span class="k${kind}">${escape(text)}</span>`;
}

/** A line of a session: what is typed after a prompt stands out from what is answered. */
function session(line: string): string {
  const [, prompt, command] = /^([$#] )(.*)$/.exec(line) ?? [];
  if (prompt === undefined || command === undefined) return escape(line);
  return `<span class="k1">${prompt}</span><span class="typed">${escape(command)}</span>`;
}

/** A member of a class or an interface: coloured where it stands, shown without what is around it. */
export function memberBlock(code: string, links: readonly CodeLink[]): string {
  const head = 'class _ {\n';
  const moved = links.map((link) => ({ ...link, start: link.start + head.length, end: link.end + head.length }));
  return block(highlight(`${head}${code}\n}`, 'ts', moved).slice(1, -1));
}

const block = (lines: readonly string[]): string => `<pre tabindex="0"><code>${lines.join('\n')}</code></pre>`;

/** A block of code. */
export function codeBlock(code: string, language: Language, links?: readonly CodeLink[]): string {
  return block(highlight(code, language, links));
}

/** One entry of a package → its page: what there is, then each symbol with its signature, its words and its source. */
import { constants } from 'node:os';
import type ts from 'typescript5';
import { slug } from 'github-slugger';
import type { ApiEntry, ApiSymbol, Documented, Kind, Signature } from './api.js';
import { type CodeLink, codeBlock, escape, memberBlock } from './highlight.js';
import type { Page } from './layout.js';
import { type Heading, type MarkdownContext, render } from './markdown.js';
import { hrefFrom } from './pages.js';

const plural: Record<Kind, string> = {
  function: 'Functions',
  class: 'Classes',
  interface: 'Interfaces',
  type: 'Types',
  constant: 'Constants',
};

/** Where public things are, for whoever names them. */
export class ApiIndex {
  readonly #places = new Map<ts.Symbol, string>();
  readonly #entries: readonly ApiEntry[];

  constructor(entries: readonly ApiEntry[]) {
    this.#entries = entries;
    for (const { page, symbols } of entries)
      for (const { symbol, anchor } of symbols) this.#places.set(symbol, `${page}#${anchor}`);
  }

  place(symbol: ts.Symbol): string {
    return this.#places.get(symbol) as string;
  }

  /** The page of an entry, by the name that is imported. */
  entry(name: string): string | undefined {
    return this.#entries.find((entry) => entry.name === name)?.page;
  }

  /** What `{@link name}` means in the words of `from`: its own member first, then its neighbours, then all others. */
  find(name: string, from: { entry: ApiEntry; owner?: ApiSymbol }): string | undefined {
    const { entry, owner } = from;
    const own = owner?.members.find((member) => member.name === name);
    if (own !== undefined) return `${entry.page}#${own.anchor}`;
    for (const { page, symbols } of [entry, ...this.#entries])
      for (const symbol of symbols) {
        const hit = symbol.name === name ? symbol : symbol.members.find(({ anchor }) => anchor === name);
        if (hit !== undefined) return `${page}#${hit.anchor}`;
      }
    return undefined;
  }
}

/** What a page of the reference has beside what is exported, as HTML: after its title, and at its end. */
export interface Beside {
  intro?: string;
  sections?: { title: string; html: string }[];
}

/** The page of an entry; its sources are asked of `context.link`, so that they get pages too. */
export function apiPage(entry: ApiEntry, index: ApiIndex, context: MarkdownContext, beside: Beside = {}): Page {
  const headings: Heading[] = [];
  const heading = (depth: number, text: string, anchor: string): string => {
    headings.push({ depth, html: escape(text), text, anchor });
    return anchor;
  };
  const words = (doc: string, owner?: ApiSymbol): string => {
    const linked = linksIn(doc, (name) => {
      const place = index.find(name, { entry, ...(owner && { owner }) });
      return place && hrefFrom(entry.page, place);
    });
    return `<div class="words">${render(linked, { ...context, link: (href) => href }).html}</div>`;
  };
  const linksOf = ({ links }: Signature): CodeLink[] =>
    links.map(({ symbol, ...part }) => ({ ...part, href: hrefFrom(entry.page, index.place(symbol)) }));
  const source = ({ path, line }: Documented['source']): string =>
    `<a class="source" href="${escape(`${context.link(path)}#L${line}`)}">${escape(path)}:${line}</a>`;

  const member = (each: Documented, owner: ApiSymbol): string =>
    `<section class="member" id="${escape(each.anchor)}">\n${each.signatures.map((one) => memberBlock(one.code, linksOf(one))).join('\n')}\n${words(each.doc, owner)}\n</section>`;
  const section = (symbol: ApiSymbol): string => {
    const { name, anchor, kind, signatures, members } = symbol;
    return `<section class="symbol">
<h3 id="${heading(3, name, anchor)}"><code>${escape(name)}</code> <span class="kind">${kind}</span> <a class="anchor" href="#${anchor}" aria-label="Link to ${escape(name)}">#</a></h3>
${signatures.map((one) => codeBlock(one.code, 'ts', linksOf(one))).join('\n')}
${words(symbol.doc, symbol)}
${members.map((each) => member(each, symbol)).join('\n')}
<p class="from">${source(symbol.source)}</p>
</section>`;
  };

  const groups = (Object.keys(plural) as Kind[])
    .map((kind) => ({ kind, symbols: entry.symbols.filter((symbol) => symbol.kind === kind) }))
    .filter(({ symbols }) => symbols.length > 0);
  const overview = groups.map(({ kind, symbols }) => {
    const names = symbols.map(({ name, anchor }) => `<a href="#${anchor}"><code>${escape(name)}</code></a>`);
    return `<dt>${plural[kind]}</dt><dd>${names.join(' ')}</dd>`;
  });
  if (entry.again.length > 0) {
    const names = entry.again.map(
      ({ name, symbol }) =>
        `<a href="${escape(hrefFrom(entry.page, index.place(symbol)))}"><code>${escape(name)}</code></a>`,
    );
    overview.push(`<dt>From elsewhere</dt><dd>${names.join(' ')}</dd>`);
  }
  const html = [
    `<h1>${escape(entry.name)}</h1>`,
    beside.intro ??
      words(entry.doc.replace(`\`${entry.name}\`: `, '').replace(/^[a-z]/, (first) => first.toUpperCase())),
    `<dl class="overview">${overview.join('\n')}</dl>`,
    ...groups.flatMap(({ kind, symbols }) => [
      `<h2 id="${heading(2, plural[kind], `all-${kind}`)}">${plural[kind]}</h2>`,
      ...symbols.map(section),
    ]),
    ...(beside.sections ?? []).map(
      ({ title, html }) => `<h2 id="${heading(2, title, slug(title))}">${escape(title)}</h2>\n${html}`,
    ),
  ].join('\n');
  return { path: entry.page, title: entry.name, html, headings, kind: 'document' };
}

const errnos = new RegExp(`(\`[^\`]*\`)|\\b(${Object.keys(constants.errno).join('|')})\\b`, 'g');

/** The words of a comment with `{@link …}` as links and the names of errors as code. */
function linksIn(doc: string, find: (name: string) => string | undefined): string {
  return doc
    .replace(errnos, (_, code: string | undefined, errno: string) => code ?? `\`${errno}\``)
    .replace(/\{@link\s+([^\s}|]+)(?:[\s|]+([^}]*))?\}/g, (_, name: string, shown?: string) => {
      const href = find(name.replace(/\(\)$/, ''));
      return href === undefined ? `\`${shown ?? name}\`` : `[\`${shown ?? name}\`](${href})`;
    });
}

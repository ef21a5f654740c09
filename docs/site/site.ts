/** The documentation as pages: read from the repository, checked, and only then written. */
import { cpSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, extname, join } from 'node:path';
import { helpOf } from '../../packages/cli/src/command.js';
import { COMMANDS } from '../../packages/cli/src/commands.js';
import { type ApiEntry, readApi } from './api.js';
import { ApiIndex, apiPage, type Beside } from './api-page.js';
import { folderPage, sourcePage } from './source-page.js';
import { codeBlock, highlight, languageOf } from './highlight.js';
import { layOut, type Page } from './layout.js';
import { brokenLinks } from './links.js';
import { type MarkdownContext, render } from './markdown.js';
import { CONTENTS, type Group, hrefFrom, pageOf, Repository, SiteError } from './pages.js';
import { searchIndex } from './search-index.js';

/** In the order in which they build on each other: a symbol stands where it is first exported. */
const packages = ['core', 'node', 'browser', 'cli'];
const assets = ['style.css', 'search.js', 'icon.svg'];

export interface SiteOptions {
  /** The repository's root. */
  root: string;
  /** The folder that is to hold the site; what it held before is removed. */
  out: string;
}

/** Builds the site and answers the number of its pages. Throws a {@link SiteError} before anything is written. */
export function buildSite({ root, out }: SiteOptions): number {
  const repository = new Repository(root);
  const api = readApi(root, packages);
  const index = new ApiIndex(api);
  const groups = [
    ...repository.navigation(),
    { title: 'Programming interface', pages: api.map(({ name, page }) => ({ title: name, page })) },
  ];
  const pages = [
    ...api.map((entry) =>
      apiPage(entry, index, contextOf(repository, index, '', entry.page), besideOf(entry, repository, index)),
    ),
    ...documents(repository, index),
  ];
  const files = new Map(pages.map((page) => [page.path, layOut(page, groups)]));
  const copied = [...repository.pictures];
  repository.problems.push(
    ...undocumented(api),
    ...unlisted(repository, groups),
    ...brokenLinks(files, new Set([...assets, ...copied, 'search-index.js'])),
  );
  if (repository.problems.length > 0) throw new SiteError([...new Set(repository.problems)]);

  rmSync(out, { recursive: true, force: true });
  files.set('search-index.js', searchIndex(pages, api));
  for (const [path, text] of files) {
    mkdirSync(dirname(join(out, path)), { recursive: true });
    writeFileSync(join(out, path), text);
  }
  for (const asset of assets) cpSync(join(import.meta.dirname, asset), join(out, asset));
  for (const picture of copied) cpSync(join(root, picture), join(out, picture));
  return pages.length;
}

function contextOf(repository: Repository, index: ApiIndex, from: string, page: string): MarkdownContext {
  return {
    link: (href) => repository.resolve(href, from, page),
    codeLink: (code) => {
      const entry = index.entry(code);
      return entry === undefined || entry === page ? undefined : hrefFrom(page, entry);
    },
    problem: (message) => repository.problems.push(from === '' ? message : `${from}: ${message}`),
  };
}

/** A package's page begins as its README does; that of the command has what `--help` prints. */
function besideOf({ name, page, path, symbols }: ApiEntry, repository: Repository, index: ApiIndex): Beside {
  const readme = /^packages\/\w+\/src\/index\.ts$/.test(path) ? path.replace('src/index.ts', 'README.md') : undefined;
  if (readme === undefined || !repository.has(readme)) return {};
  const text = repository.read(readme).replace(/^# .*\n/, '');
  const context = contextOf(repository, index, readme, page);
  const codeLink = (code: string): string | undefined =>
    symbols.some((symbol) => symbol.name === code) ? `#${code}` : context.codeLink(code);
  const { html: intro } = render(text, { ...context, codeLink });
  if (name !== '@ovl/cli') return { intro };
  const sections = COMMANDS.map((command) => ({
    title: `ovl ${command.name}`,
    html: codeBlock(helpOf(command), 'text'),
  }));
  return { intro, sections };
}

/** The pages of what is wanted; what they link to becomes wanted meanwhile, and follows. */
function* documents(repository: Repository, index: ApiIndex): Generator<Page> {
  repository.wanted.add('README.md').add(CONTENTS);
  for (const path of repository.wanted) {
    const page = pageOf(path);
    if (path.endsWith('/')) {
      yield folderPage(path, repository.list(path), (name) => repository.resolve(name, `${path}.`, page));
      continue;
    }
    const text = repository.read(path);
    if (!path.endsWith('.md')) {
      yield sourcePage(path, highlight(text.trimEnd(), languageOf(extname(path).slice(1)) ?? 'text'));
      continue;
    }
    const { html, headings } = render(text, contextOf(repository, index, path, page));
    const titles = headings.filter(({ depth }) => depth === 1);
    if (titles.length !== 1)
      repository.problems.push(`${path}: a page has one heading of the first level, not ${titles.length}`);
    yield { path: page, title: titles[0]?.text ?? path, html, headings, kind: 'document' };
  }
}

/** What is exported without a word. */
function undocumented(api: readonly ApiEntry[]): string[] {
  return api.flatMap(({ name, doc, path, symbols }) => [
    ...(doc === '' ? [`${path}: say at the head of the file what ${name} is for`] : []),
    ...symbols
      .filter((symbol) => symbol.doc.trim() === '')
      .map(
        ({ name: symbol, source }) => `${source.path}:${source.line}: '${symbol}' of ${name} has no comment above it`,
      ),
  ]);
}

/** The documents that no line of the navigation names. */
function unlisted(repository: Repository, groups: readonly Group[]): string[] {
  const listed = new Set(groups.flatMap(({ pages }) => pages.map(({ page }) => page)));
  return readdirSync(join(repository.root, 'docs'), { recursive: true, encoding: 'utf8' })
    .map((path) => `docs/${path.replaceAll('\\', '/')}`)
    .filter((path) => path.endsWith('.md') && path !== CONTENTS && !listed.has(pageOf(path)))
    .map((path) => `${path}: no list in ${CONTENTS} names this page: add a line where its readers look`);
}

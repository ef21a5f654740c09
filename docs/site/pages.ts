/**
 * What becomes a page, and where it is: the site has the repository's own folders, so that a relative link in a document
 * is the same link on its page. Documents that the navigation names come first; what they link to follows.
 */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, normalize, relative } from 'node:path';

/** All that is wrong, found in one go: what a reader of the site would trip over. */
export class SiteError extends Error {
  override name = 'SiteError';
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(`${problems.join('\n')}\nThe site is not built: ${problems.length} of these have to be put right.`);
    this.problems = problems;
  }
}

/** The parts of the front matter: a group of the navigation with its pages. */
export interface Group {
  title: string;
  pages: { title: string; page: string }[];
}

/** The file that lists every document. */
export const CONTENTS = 'docs/README.md';

/** The page of a file of the repository, or of a folder (`docs/`), from the site's root. */
export function pageOf(path: string): string {
  if (path.endsWith('/')) return `${path}index.html`;
  if (path === 'README.md') return 'index.html';
  if (path.endsWith('/README.md')) return `${path.slice(0, -'README.md'.length)}index.html`;
  return path.endsWith('.md') ? `${path.slice(0, -'.md'.length)}.html` : `${path}.html`;
}

const isPicture = (path: string): boolean => /\.(svg|png|jpe?g|gif|webp)$/.test(path);

/** What is no part of the project: it comes and goes. */
const isUnlisted = (name: string): boolean => ['node_modules', 'dist', '.git'].includes(name);

/** How one page names another, or itself. */
export const hrefFrom = (page: string, target: string): string => {
  const [path = '', hash] = target.split('#');
  const there = path === page && hash !== undefined ? '' : relative(dirname(page), path);
  return hash === undefined ? there : `${there}#${hash}`;
};

/** The repository as what can be linked to; remembers what was. */
export class Repository {
  readonly root: string;
  readonly problems: string[] = [];
  /** Files that are to have a page, in the order in which they were met. */
  readonly wanted = new Set<string>();
  /** Pictures to be copied. */
  readonly pictures = new Set<string>();

  constructor(root: string) {
    this.root = root;
  }

  has(path: string): boolean {
    return existsSync(join(this.root, path));
  }

  read(path: string): string {
    return readFileSync(join(this.root, path), 'utf8');
  }

  /** What is in a folder: folders, with a slash at the end, and then files. */
  list(path: string): string[] {
    const entries = readdirSync(join(this.root, path), { withFileTypes: true }).filter(({ name }) => !isUnlisted(name));
    const names = entries.map((entry) => (entry.isDirectory() ? `${entry.name}/` : entry.name));
    return names.toSorted((a, b) => Number(b.endsWith('/')) - Number(a.endsWith('/')) || (a < b ? -1 : 1));
  }

  /** Where `href`, in the document `from`, leads on the site; links that lead nowhere are noted, with `where`. */
  resolve(href: string, from: string, page: string): string {
    if (/^[a-z][a-z0-9+.-]*:/i.test(href) || href.startsWith('#')) return href;
    const [written = '', hash] = href.split('#');
    let path = normalize(join(dirname(from), decodeURI(written)));
    const isOurs = !path.startsWith('..') && !path.startsWith('/') && !isUnlisted(path.split('/')[0] as string);
    const found = isOurs ? statSync(join(this.root, path), { throwIfNoEntry: false }) : undefined;
    if (found === undefined) {
      this.problems.push(`${from}: the link '${href}' leads to nothing in the repository`);
      return '#';
    }
    if (found.isDirectory()) {
      const readme = join(path, 'README.md');
      path = existsSync(join(this.root, readme)) ? readme : join(path, '/');
    }
    if (isPicture(path)) {
      this.pictures.add(path);
      return hrefFrom(page, path);
    }
    this.wanted.add(path);
    return hrefFrom(page, hash === undefined ? pageOf(path) : `${pageOf(path)}#${hash}`);
  }

  /** The groups that {@link CONTENTS} lists: a `##` heading each, a list of links below it. */
  navigation(): Group[] {
    const groups: Group[] = [];
    for (const line of this.read(CONTENTS).split('\n')) {
      const [, heading] = /^## (.+)$/.exec(line) ?? [];
      if (heading !== undefined) groups.push({ title: heading, pages: [] });
      const [, title, href] = /^[-*] \[([^\]]+)\]\(([^)#]+)\)/.exec(line) ?? [];
      if (title === undefined || href === undefined || !href.endsWith('.md')) continue;
      const path = normalize(join(dirname(CONTENTS), href));
      groups.at(-1)?.pages.push({ title, page: pageOf(path) });
      this.wanted.add(path);
    }
    return groups;
  }
}

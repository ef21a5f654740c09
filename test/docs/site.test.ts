// The site is built whole, reads without a server, and says what is wrong before it writes anything.
import {
  cpSync,
  existsSync,
  mkdtempSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { readApi } from '../../docs/site/api.js';
import { brokenLinks } from '../../docs/site/links.js';
import { SiteError } from '../../docs/site/pages.js';
import { buildSite } from '../../docs/site/site.js';

const root = fileURLToPath(new URL('../..', import.meta.url));

describe('the site of this repository', () => {
  let out: string;
  const page = (path: string): string => readFileSync(join(out, path), 'utf8');
  beforeAll(() => {
    out = mkdtempSync(join(tmpdir(), 'ovl-site-'));
    buildSite({ root, out });
  });
  afterAll(() => rmSync(out, { recursive: true }));

  test('has a page for every document', () => {
    for (const path of readdirSync(join(root, 'docs'), { recursive: true, encoding: 'utf8' }))
      if (path.endsWith('.md') && !path.endsWith('README.md'))
        expect(existsSync(join(out, 'docs', path.replace(/\.md$/, '.html'))), path).toBe(true);
  });

  test('has a page for every entry of every package, and on it everything that is exported', async () => {
    for (const name of ['core', 'node', 'browser', 'cli']) {
      const manifest = JSON.parse(readFileSync(join(root, 'packages', name, 'package.json'), 'utf8')) as {
        exports: Record<string, unknown>;
      };
      for (const key of Object.keys(manifest.exports).filter((each) => each !== './package.json')) {
        const html = page(`api/${name}/${key === '.' ? 'index' : key.slice(2)}.html`);
        const module = (await import(join(root, 'packages', name, 'src', key, 'index.ts'))) as object;
        const shown = new Set([...html.matchAll(/<code>(\w+)<\/code>/g)].map(([, symbol]) => symbol));
        expect(Object.keys(module).filter((symbol) => !shown.has(symbol))).toEqual([]);
      }
    }
  });

  test('shows signature, words and source of a function', () => {
    const [section = ''] = /<h3 id="memoryLayer">.*?<\/section>/s.exec(page('api/core/index.html')) ?? [];
    const text = section.replace(/<[^>]*>/g, '');
    expect(text).toContain('function memoryLayer(options?: MemoryLayerOptions): MemoryLayer');
    const [, href = '', line] = /href="([^"]*)#L(\d+)"/.exec(section) ?? [];
    const source = page(join('api/core', href));
    const [, there = ''] = new RegExp(`id="L${line}">(.*)`).exec(source) ?? [];
    expect(there.replace(/<[^>]*>/g, '')).toContain('function memoryLayer(');
  });

  test('has the help of every command', () => {
    const html = page('api/cli/index.html');
    for (const name of ['mount', 'umount', 'ps', 'diff', 'explain', 'fsck']) {
      expect(html).toContain(`<h2 id="ovl-${name}">`);
      expect(html).toContain(`Usage: ovl ${name}`);
    }
  });

  test('asks nothing of the network', () => {
    for (const path of readdirSync(out, { recursive: true, encoding: 'utf8' }))
      if (/\.(html|css|js)$/.test(path)) expect(page(path)).not.toMatch(/(src=|@import|url\()["' ]*(https?:)?\/\//);
  });

  test('finds by its search what pages and comments say', () => {
    const window: { ovlSearchIndex?: [string, string, string, string][] } = {};
    new Function('window', page('search-index.js'))(window);
    const rows = window.ovlSearchIndex ?? [];
    expect(rows.map(([, heading]) => heading)).toEqual(
      expect.arrayContaining(['Durability', 'memoryLayer', 'Layer.lookup']),
    );
    for (const [, , address] of rows)
      expect(existsSync(join(out, address.split('#')[0] as string)), address).toBe(true);
  });
});

/** A repository of a few files: its packages are ours, by one entry each. */
function repository(files: Record<string, string>): string {
  const folder = mkdtempSync(join(tmpdir(), 'ovl-site-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const whole: Record<string, string> = {
    'README.md': '# It\n',
    'docs/README.md': '# Contents\n\n## All\n\n- [One](one.md): the first\n',
    'docs/one.md': '# One\n\n## Part\n',
    ...files,
  };
  for (const name of ['core', 'node', 'browser', 'cli']) {
    whole[`packages/${name}/package.json`] = JSON.stringify({ name: `@ovl/${name}`, exports: { '.': {} } });
    whole[`packages/${name}/src/index.ts`] ??= `/** ${name}. */\nexport {};\n`;
  }
  for (const [path, text] of Object.entries(whole)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), text);
  }
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'));
  return folder;
}

/** What stands in the way of the site of these files. */
function problems(files: Record<string, string>): readonly string[] {
  const folder = repository(files);
  const out = join(folder, 'dist/site');
  cpSync(join(folder, 'docs'), out, { recursive: true });
  try {
    buildSite({ root: folder, out });
  } catch (error) {
    expect(error).toBeInstanceOf(SiteError);
    expect(existsSync(join(out, 'one.md')), 'what was there before').toBe(true);
    return (error as SiteError).problems;
  }
  expect(existsSync(join(out, 'one.md')), 'what was there before').toBe(false);
  return [];
}

const code = (text: string): Record<string, string> => ({
  'packages/core/src/index.ts': `/** Core. */\nexport {};\n${text}`,
});
const cases: [what: string, files: Record<string, string>, problem: RegExp | undefined][] = [
  ['nothing', {}, undefined],
  [
    'a link to no file',
    { 'docs/one.md': '# One\n\n[there](two.md)\n' },
    /^docs\/one\.md: the link 'two\.md' leads to nothing/,
  ],
  ['a link out of the repository', { 'docs/one.md': '# One\n\n[there](../../x.md)\n' }, /leads to nothing/],
  [
    'a link to no section',
    { 'README.md': '# It\n\n[there](docs/one.md#two)\n' },
    /^index\.html: .* has no section 'two'$/,
  ],
  ['a link to a section', { 'README.md': '# It\n\n[there](docs/one.md#part)\n' }, undefined],
  ['a link to a folder with a README', { 'README.md': '# It\n\n[there](docs)\n' }, undefined],
  ['a link to a folder without one', { 'README.md': '# It\n\n[there](packages/core)\n' }, undefined],
  ['a link to a source file', { 'README.md': '# It\n\n[there](packages/core/src/index.ts)\n' }, undefined],
  ['a page in no list', { 'docs/deep/two.md': '# Two\n' }, /^docs\/deep\/two\.md: no list in docs\/README\.md names/],
  [
    'a page without a title',
    { 'docs/one.md': 'One\n' },
    /^docs\/one\.md: a page has one heading of the first level, not 0$/,
  ],
  ['a picture of the network', { 'docs/one.md': '# One\n\n![x](https://example.com/x.png)\n' }, /from the network$/],
  ['a picture without words', { 'docs/one.md': '# One\n\n![](x.svg)\n', 'docs/x.svg': '<svg/>' }, /has no words for/],
  ['code of an unknown language', { 'docs/one.md': '# One\n\n```cobol\nX\n```\n' }, /is in 'cobol'/],
  [
    'an export without a comment',
    code('export const x = 1;\n'),
    /^packages\/core\/src\/index\.ts:3: 'x' of @ovl\/core has no comment/,
  ],
  ['an export with a comment', code('/** X. */\nexport const x = 1;\n'), undefined],
];

test.each(cases)('the build meets %s', (_what, files, problem) => {
  const found = problems(files);
  if (problem === undefined) expect(found).toEqual([]);
  else {
    expect(found).toHaveLength(1);
    expect(found[0]).toMatch(problem);
  }
});

test('signatures are the source without bodies, values and hidden members, and link what is public', () => {
  const folder = repository(
    code(`/** Any. */
export interface Any<T = string> extends Iterable<T> {
  /** Told. */
  readonly name?: T;
}
/** Made. */
export class Made implements Any {
  name = 'x';
  #hidden = 1;
  private other = this.#hidden;
  constructor(readonly any: Any) {}
  /** First. */
  get(x: string): Any;
  /** Second. */
  get(x: number): undefined;
  get(x: string | number): Any | undefined {
    return typeof x === 'string' ? this.any : undefined;
  }
  *[Symbol.iterator](): Generator<string> {}
}
/** Made. */
export async function* make(any: Any = new Made(null as never)): AsyncGenerator<Any> {
  yield any;
}
/** Many. */
export const many: readonly Any[] = [];
`),
  );
  const [entry] = readApi(folder, ['core']);
  const shown = entry?.symbols.map(({ name, kind, signatures, members }) => [
    kind,
    name,
    signatures.map((each) => each.code),
    members.flatMap((member) => member.signatures.map((each) => each.code)),
  ]);
  expect(shown).toEqual([
    ['function', 'make', ['function make(any: Any = new Made(null as never)): AsyncGenerator<Any>'], []],
    [
      'class',
      'Made',
      ['class Made implements Any'],
      [
        "name = 'x'",
        'constructor(readonly any: Any)',
        'get(x: string): Any',
        'get(x: number): undefined',
        '[Symbol.iterator](): Generator<string>',
      ],
    ],
    ['interface', 'Any', ['interface Any<T = string> extends Iterable<T>'], ['readonly name?: T']],
    ['constant', 'many', ['const many: readonly Any[]'], []],
  ]);
  const [make] = entry?.symbols ?? [];
  const [{ code: text, links } = { code: '', links: [] }] = make?.signatures ?? [];
  expect(links.map(({ start, end, symbol }) => [text.slice(start, end), symbol.name])).toEqual([
    ['Any', 'Any'],
    ['Made', 'Made'],
    ['Any', 'Any'],
  ]);
});

test('links are followed', () => {
  const pages = new Map([
    [
      'a/b.html',
      '<h1 id="top">x</h1><p id="top"></p><a href="../c.html#x">1</a><a href="../d.css">2</a><a href="#top">3</a>',
    ],
    ['c.html', '<a href="a/b.html#up">1</a><a href="https://example.com">2</a>'],
  ]);
  expect(brokenLinks(pages, new Set(['d.css']))).toEqual([
    "a/b.html: two places have the anchor 'top'",
    "a/b.html: '../c.html#x': c.html has no section 'x'",
    "c.html: 'a/b.html#up': a/b.html has no section 'up'",
  ]);
});

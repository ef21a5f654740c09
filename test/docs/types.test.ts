// The TypeScript of every page passes the compiler, as strictly as ours, against the sources of the packages.
import { mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { execute } from '../support/mounts.mjs';
import { blocksOf, root } from './page.js';

/** A block with what it needs of those above it, under the same heading: what they export, and what they have imported. */
function programsOf(page: string): { line: number; code: string }[] {
  const blocks = blocksOf(page).filter(({ language }) => language === 'ts');
  return blocks.map(({ heading, line, code }, index) => {
    const before = blocks.slice(0, index).filter((block) => block.heading === heading);
    const exporting = before.filter((block) => /^export /m.test(block.code)).map((block) => block.code);
    const known = new Set(importsOf([...exporting, code].join('\n')).map(({ name }) => name));
    const imported = before.flatMap((block) => importsOf(block.code)).filter(({ name }) => !known.has(name));
    const lines = new Set(imported.map(({ name, from }) => `import { ${name} } from '${from}';`));
    return { line, code: [...exporting, ...lines, code, 'export {};\n'].join('\n') };
  });
}

function importsOf(code: string): { name: string; from: string }[] {
  return [...code.matchAll(/^import (?:type )?\{([^}]*)\} from '([^']+)';$/gm)].flatMap(([, names = '', from = '']) =>
    names.split(',').map((name) => ({ name: name.replace(/\btype\b/, '').trim(), from })),
  );
}

test('the TypeScript of the pages has the right types', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'ovl-types-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'));
  const places = new Map<string, string>();
  const docs = readdirSync(join(root, 'docs'), { recursive: true }).map((name) => `docs/${String(name)}`);
  for (const page of ['README.md', ...docs.filter((name) => name.endsWith('.md'))]) {
    for (const { line, code } of programsOf(page)) {
      const name = `${page.replaceAll('/', '-')}-${line}.ts`;
      places.set(name, `${page}:${line}`);
      writeFileSync(join(folder, name), code);
    }
  }
  expect(places.size).toBeGreaterThan(0);
  const options = {
    extends: join(root, 'tsconfig.base.json'),
    compilerOptions: {
      types: ['node'],
      composite: false,
      isolatedDeclarations: false,
      emitDeclarationOnly: false,
      noEmit: true,
      paths: pathsOf('core', 'node', 'browser'),
    },
    files: [...places.keys()],
  };
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(options));
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }');
  const { code, stdout } = await execute([join(root, 'node_modules/.bin/tsc'), '-p', folder, '--pretty', 'false'], {
    timeout: 50_000,
    cwd: folder,
  });
  const problems = stdout.replace(
    /^([\w.-]+\.ts)\((\d+),\d+\)/gm,
    (_, name: string, line) => `${places.get(name)} + ${line}`,
  );
  expect(problems).toBe('');
  expect(code).toBe(0);
});

/** The packages are their sources, as for the tests. */
function pathsOf(...names: string[]): Record<string, string[]> {
  return Object.fromEntries(
    names.flatMap((name) => [
      [`@ovl/${name}`, [join(root, `packages/${name}/src/index.ts`)]],
      [`@ovl/${name}/*`, [join(root, `packages/${name}/src/*/index.ts`)]],
    ]),
  );
}

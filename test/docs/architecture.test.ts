// Every source file has its place in ARCHITECTURE.md, and no other stands there.
import { readdirSync, readFileSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const root = fileURLToPath(new URL('../../', import.meta.url));
const folders = [...['core', 'node', 'cli', 'browser'].map((name) => `packages/${name}/src`), 'docs/site'];

const sources = folders.flatMap((folder) =>
  (readdirSync(`${root}${folder}`, { recursive: true }) as string[]).filter((file) => file.endsWith('.ts')),
);

/** What a line of the page names: in a row, a name without a directory may be one of a directory that stands before it. */
function namesOf(line: string): string[] {
  const names = Array.from(
    line.matchAll(/`([\w/.-]+(?:\.ts|\/))`|\(packages\/\w+\/src\/([\w/.-]+)\)/g),
    (match) => match[1] ?? (match[2] as string),
  );
  const directories = new Set(names.filter((name) => name.includes('/')).map((name) => dirname(`${name}.`)));
  return names.flatMap((name) => [
    name,
    ...(name.includes('/') ? [] : Array.from(directories, (at) => `${at}/${name}`)),
  ]);
}

const page = readFileSync(`${root}ARCHITECTURE.md`, 'utf8');
const named = new Set(page.split('\n').flatMap(namesOf));
const directories = [...named].filter((name) => name.endsWith('/'));

test('names every source file', () => {
  const isNamed = (file: string): boolean =>
    named.has(file) || basename(file) === 'index.ts' || directories.some((directory) => file.startsWith(directory));
  expect(sources.filter((file) => !isNamed(file))).toEqual([]);
});

test('names no other', () => {
  const exists = (name: string): boolean => sources.some((file) => file === name || basename(file) === name);
  const files = Array.from(page.matchAll(/`([\w/.-]+\.ts)`/g), ([, name]) => name as string);
  expect(files.filter((name) => !exists(name))).toEqual([]);
});

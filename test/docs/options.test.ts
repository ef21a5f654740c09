// What the code takes, what `ovl mount --help` lists and what docs/options.md explains are the same options.
import { readFileSync } from 'node:fs';
import { optionGroups, refusedOptions } from '@ovl/node';
import { describe, expect, test } from 'vitest';
import { helpOf } from '../../packages/cli/src/command.js';
import { mountCommand } from '../../packages/cli/src/commands/mount.js';

const page = readFileSync(new URL('../../docs/options.md', import.meta.url), 'utf8');
const taken = optionGroups.flatMap(({ options }) => Object.entries(options));

/** The options that a part of the page names, in code: the first column of a table, or all of a paragraph's. */
function namedIn(text: string): string[] {
  const named = new Set<string>();
  for (const line of text.split('\n')) {
    if (/^\|(---| option )/.test(line)) continue;
    const cell = line.startsWith('|') ? (line.split('|')[1] as string) : line;
    for (const [, name] of cell.matchAll(/`([a-z0-9_]+\+?)(?:=[^`]*)?`/g)) named.add(name as string);
  }
  return [...named];
}

const part = (heading: string): string => page.split(`\n## ${heading}\n`)[1]?.split('\n## ')[0] ?? '';

describe('docs/options.md', () => {
  test('names every option', () => {
    const named = namedIn(page);
    expect(taken.map(([name]) => name).filter((name) => !named.includes(name))).toEqual([]);
  });

  test('names no other', () => {
    const known = [...taken.map(([name]) => name), ...Object.keys(refusedOptions)];
    // Values in the first column that follow their option: `redirect_dir=off`, `follow`.
    const values = ['follow', 'auto', 'on', 'require', 'remount', 'bind'];
    const tables = page
      .split('\n')
      .filter((line) => line.startsWith('|'))
      .join('\n');
    expect(namedIn(tables).filter((name) => !known.includes(name) && !values.includes(name))).toEqual([]);
  });

  test('gives what is refused as such', () => {
    expect(namedIn(part('Refused')).toSorted()).toEqual(Object.keys(refusedOptions).toSorted());
  });

  test.each(taken.filter(([, { value }]) => /^[a-z01]+(\|[a-z01]+)*$/.test(value ?? '')))(
    'knows each value of %s',
    (name, { value }) => {
      const row = page.split('\n').filter((line) => line.startsWith('|') && line.split('|')[1]?.includes(`\`${name}`));
      for (const one of (value as string).split('|').filter((text) => !/^[01]$/.test(text)))
        expect(row.join('\n'), `${name}=${one}`).toMatch(new RegExp(`\`(${name}=)?${one}\``));
    },
  );
});

test.each(taken)('ovl mount --help has %s', (name, { value, help }) => {
  const written = helpOf(mountCommand).replaceAll('\n', ' ');
  expect(written).toContain(value === undefined || value === '' ? name : `${name}=${value}`);
  expect(written).toContain(help);
});

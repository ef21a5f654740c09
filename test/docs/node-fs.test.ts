// docs/node-fs.md lists every function of node:fs, and says truly whether and where it is to be had.
import * as host from 'node:fs';
import { readFileSync } from 'node:fs';
import { memoryLayer, type Overlay, overlay } from '@ovl/core';
import { createFs as createCoreFs } from '@ovl/core/fs';
import { createFs } from '@ovl/node';
import { describe, expect, test } from 'vitest';

const page = readFileSync(new URL('../../docs/node-fs.md', import.meta.url), 'utf8');

/** The names of a table, by where they are. */
function listed(heading: string): Map<string, string> {
  const names = new Map<string, string>();
  const lines = page.split('\n');
  for (const line of lines.slice(lines.findIndex((each) => each.startsWith(`| ${heading} |`)) + 2)) {
    if (!line.startsWith('|')) break;
    const [, first = '', where = ''] = line.split('|');
    for (const [, name] of first.matchAll(/`(\w+)`/g)) names.set(name as string, where.trim());
  }
  return names;
}

const layers = (): Overlay<'sync'> => overlay({ lower: [memoryLayer({ from: { a: 'x' } })], upper: memoryLayer() });
const node = createFs(layers());
const core = createCoreFs(layers());
const handles = await Promise.all([
  node.promises.open('/a'),
  core.promises.open('/a'),
  host.promises.open(new URL(import.meta.url)),
]);
const [nodeHandle, coreHandle, hostHandle] = handles;
await Promise.all(handles.map((handle) => handle.close()));

const prototype = Object.getPrototypeOf(hostHandle) as object;
const cases: [heading: string, known: string[], core: object, node: object][] = [
  ['`fs`', Object.keys(host).filter((name) => name !== 'default'), core, node],
  ['`fs.promises`', Object.keys(host.promises), core.promises, node.promises],
  [
    '`FileHandle`',
    Object.getOwnPropertyNames(prototype).filter((name) => name !== 'constructor'),
    coreHandle,
    nodeHandle,
  ],
];

describe.each(cases)('docs/node-fs.md, %s', (heading, known, inCore, inNode) => {
  const table = listed(heading);

  test('names everything that Node has', () => {
    expect(known.filter((name) => !table.has(name))).toEqual([]);
  });

  test.each([...table])('%s is in: %s', (name, where) => {
    expect(['core', 'node', 'none']).toContain(where);
    expect({ core: name in inCore, node: name in inNode }).toEqual({ core: where === 'core', node: where !== 'none' });
  });
});

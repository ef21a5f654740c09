// What copy-up makes durable before its result is visible: "Durability and copy up" in overlayfs.rst.
import { memoryLayer, Overlay, runSync, syncFs } from '@ovl/core';
import { expect, test } from 'vitest';

/** The syncs and commits of an upper layer, in order. */
function copyingUp(fsync: 'auto' | 'strict' | 'volatile' | undefined, keepsOrder?: 'keeps-order'): string[] {
  const log: string[] = [];
  const upper = memoryLayer();
  const open = upper.openWritable.bind(upper);
  const commit = upper.commit.bind(upper);
  upper.open = upper.openWritable = (node) => {
    const file = open(node);
    file.fsync = (scope) => void log.push(`file ${scope}`);
    if (keepsOrder) Object.assign(file, { order: () => void log.push('file order') });
    return file;
  };
  upper.fsyncdir = () => void log.push('directory');
  upper.commit = (change) => {
    log.push('commit');
    commit(change);
  };
  const lower = memoryLayer({ from: { d: { f: 'content', empty: '' } } });
  const layers = { lower: [lower], upper };
  const fs = syncFs(runSync(Overlay.open<'sync'>(fsync === undefined ? layers : { ...layers, fsync })));
  fs.chmodSync('/d/f', 0o600);
  fs.chmodSync('/d/empty', 0o600);
  return log;
}

test.each([
  [undefined, ['commit', 'file data', 'commit', 'commit']],
  ['auto', ['commit', 'file data', 'commit', 'commit']],
  ['strict', ['directory', 'commit', 'file data', 'file all', 'commit', 'file all', 'commit']],
  ['volatile', ['commit', 'commit', 'commit']],
] as const)('%s', (fsync, expected) => {
  expect(copyingUp(fsync)).toEqual(expected);
});

test('what keeps an order by itself is not told to flush, unless more is asked for', () => {
  for (const fsync of ['auto', undefined] as const) {
    expect(copyingUp(fsync, 'keeps-order')).toEqual(['commit', 'file order', 'commit', 'commit']);
  }
  expect(copyingUp('strict', 'keeps-order')).not.toContain('file order');
  expect(copyingUp('volatile', 'keeps-order')).not.toContain('file order');
});

// Layers of other writers: attributes that stand in for owner and mode.
import { encodeName, MemoryObject, memoryLayer } from '@ovl/core';
import type { Stat } from '@ovl/core/testing';
import { describe, expect, it } from 'vitest';
import { open } from './worlds.js';

describe('override_stat', () => {
  const stat = { 'user.containers.override_stat': encodeName('1000:100:4711') };

  it('a copy in the upper is what it said', () => {
    const lower = memoryLayer({ from: { f: new MemoryObject('content', { xattrs: stat }) } });
    lower.setxattr(lower.root, 'user.containers.override_stat', encodeName('0:0:755:dir'));
    const upper = memoryLayer();
    const driver = open({ upper, lower: [lower] });
    const before = driver.perform({ kind: 'stat', path: '/f' }) as Stat;
    expect(before).toMatchObject({ mode: 0o104711, uid: 1000, gid: 100 });
    driver.perform({ kind: 'append', path: '/f', text: '!' });
    for (const each of [driver, open({ upper, lower: [lower] })]) {
      expect(each.perform({ kind: 'stat', path: '/f' })).toMatchObject({
        mode: 0o104711,
        uid: 1000,
        gid: 100,
        size: 8,
      });
    }
    expect(upper.listxattr(upper.lookup(upper.root, 'f')?.node as object)).not.toContain(
      'user.containers.override_stat',
    );
  });

  it('counts only in layers whose root has one', () => {
    const lower = memoryLayer({ from: { f: new MemoryObject('', { xattrs: stat }) } });
    expect(open({ upper: undefined, lower: [lower] }).perform({ kind: 'stat', path: '/f' })).toMatchObject({ uid: 0 });
  });
});

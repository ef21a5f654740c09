// A change of attributes that copies a file up: the copy has it when it appears, so that no crash shows it without.
import { type Attributes, type Inode, memoryLayer, Overlay, runSync, syncFs } from '@ovl/core';
import { LazyCopyUps } from '@ovl/core/lazy';
import { expect, test } from 'vitest';

/** A file below, and what its copy was like when it got its name. */
function below(mode: number) {
  const lower = memoryLayer();
  const { node } = lower.create({ dir: lower.root, name: 'f' }, { mode: 0o100000 | mode, uid: 0, gid: 0 });
  const file = lower.openWritable(node);
  file.write(new TextEncoder().encode('content'), 0);
  file.close();
  lower.setattr(node, { atime: { sec: 1, nsec: 1 }, mtime: { sec: 2, nsec: 2 } });
  const upper = memoryLayer();
  const arrived: Attributes[] = [];
  let changesAfter = 0;
  const { commit, setattr } = upper;
  upper.commit = (change) => {
    if (change.kind === 'link') arrived.push(upper.getattr(change.node));
    commit.call(upper, change);
  };
  upper.setattr = (changed, change) => {
    if (arrived.length > 0 && changed !== upper.root) changesAfter++;
    setattr.call(upper, changed, change);
  };
  const lazy = new LazyCopyUps({ unsettled: 'wait' });
  const overlay = runSync(Overlay.open<'sync'>({ lower: [lower], upper, lazy }));
  const fs = syncFs(overlay);
  return { overlay, fs, lower, node, upper, copy: () => arrived[0] as Attributes, changesAfter: () => changesAfter };
}

test.each([0o644, 0o444, 0o4755])('chmod of a file of mode %o: times stay', (mode) => {
  const { fs, copy, changesAfter } = below(mode);
  fs.chmodSync('/f', 0o2711);
  expect(copy()).toMatchObject({ mode: 0o102711, atimeSec: 1, mtimeSec: 2, mtimeNsec: 2 });
  expect(fs.statSync('/f')).toMatchObject({ mode: 0o102711, mtimeMs: 2000.000002 });
  expect(changesAfter()).toBe(0);
});

test('utimes: the mode stays', () => {
  const { fs, copy, changesAfter } = below(0o640);
  fs.utimesSync('/f', 5, 6);
  expect(copy()).toMatchObject({ mode: 0o100640, atimeSec: 5, mtimeSec: 6, mtimeNsec: 0 });
  expect(changesAfter()).toBe(0);
});

test('a change that clears set-id bits does so where it names no mode', () => {
  const { overlay, fs } = below(0o4755);
  const entry = runSync(overlay.lookup(overlay.root, 'f'));
  runSync(overlay.setattr(entry?.inode as Inode, { mtime: { sec: 5, nsec: 0 } }, 'clear-set-id'));
  expect(fs.statSync('/f')).toMatchObject({ mode: 0o100755, mtimeMs: 5000 });
});

test('another owner comes after the copy, so that the file system takes its capabilities away', () => {
  const { fs, copy, changesAfter } = below(0o755);
  fs.chownSync('/f', 1000, 1000);
  expect(copy()).toMatchObject({ uid: 0, gid: 0, mode: 0o100755 });
  expect(fs.statSync('/f')).toMatchObject({ uid: 1000, gid: 1000, mode: 0o100755 });
  expect(changesAfter()).toBe(1);
});

test('a mode that goes with an access ACL wins over what the ACL says', () => {
  const { fs, lower, node, upper } = below(0o640);
  // Version 2; user::rw-, group::r--, mask::r--, other::---
  const entries = [1, 6, 4, 4, 16, 4, 32, 0].flatMap((n, i) => (i % 2 === 0 ? [n, 0] : [n, 0, 255, 255, 255, 255]));
  lower.setxattr(node, 'system.posix_acl_access', Uint8Array.from([2, 0, 0, 0, ...entries]));
  fs.chmodSync('/f', 0o600);
  expect(upper.lookup(upper.root, 'f')?.attributes.mode).toBe(0o100600);
});

// mount(8) and fstab: `mount -t fuse.ovl`, with the command where mount.fuse3 looks for it. In a mount namespace of its own,
// so that /usr/local/bin may hold it and nothing is left behind.
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { execute } from '../support/mounts.mjs';
import { withoutForeignMounts } from '../support/namespace.js';
import { requireOrSkip } from '../support/require.js';
import { ovl } from './command.mjs';

let root: string;

beforeEach(async (ctx) => {
  requireOrSkip(ctx, existsSync(ovl[1]), 'the built command: `pnpm build`');
  requireOrSkip(ctx, process.getuid?.() === 0 && existsSync('/dev/fuse'), 'root and /dev/fuse');
  requireOrSkip(ctx, existsSync('/sbin/mount.fuse3') || existsSync('/usr/sbin/mount.fuse3'), 'mount.fuse3');
  root = mkdtempSync(join(tmpdir(), 'ovl-mount8-'));
  for (const name of ['lower', 'upper', 'work', 'merged', 'bin']) mkdirSync(join(root, name));
  writeFileSync(join(root, 'lower/file'), 'below\n');
  writeFileSync(join(root, 'bin/ovl'), `#!/bin/sh\nexec '${ovl[0]}' '${ovl[1]}' "$@"\n`, { mode: 0o755 });
  const layers = `lowerdir=${root}/lower,upperdir=${root}/upper,workdir=${root}/work`;
  writeFileSync(join(root, 'options'), layers);
  const fstab = `# a comment\nsrc ${root}/merged fuse.ovl ${layers},nofail,_netdev,x-systemd.automount,comment=x 0 0\n`;
  writeFileSync(join(root, 'fstab'), fstab);
});

afterEach(() => {
  if (root) rmSync(root, { recursive: true, force: true });
});

/** `how` prints the mount table's line: source, type and the flags that were asked for. */
const run = (script: string) =>
  execute(
    [
      'unshare',
      '-m',
      '--propagation',
      'private',
      'bash',
      '-uc',
      `${withoutForeignMounts}
       mount --bind bin /usr/local/bin
       how() { awk -v at="$PWD/merged" '$2 == at { sub(/,relatime.*/, "", $4); print $1, $3, $4 }' /proc/self/mounts; }
       ${script}`,
    ],
    { timeout: 30_000, cwd: root },
  );

test('mount -t fuse.ovl: silent, with the words of mount(8) and of fstab, and umount', async () => {
  const done = await run(`
    mount -t fuse.ovl src merged -o "$(cat options),rw,suid,dev,nofail,_netdev,noauto,x-a=b,,"; echo $?; how
    cat merged/file; echo new > merged/new; umount merged; echo $?; how; ls upper
    mount -t fuse.ovl src merged -o "$(cat options),user,ro,noexec"; how; umount merged`);
  expect(done).toMatchObject({ code: 0, stderr: '' });
  expect(done.stdout).toBe('0\nsrc fuse.ovl rw\nbelow\n0\nnew\nsrc fuse.ovl ro,nosuid,nodev,noexec\n');
});

test('mount -a with an fstab, twice; the flags change alone by `mount -i -o remount`', async () => {
  const done = await run(`
    mount -T fstab -a; echo $?; how; mount -T fstab -a; echo $?; how; cat merged/file
    mount -i -o remount,ro merged; how; touch merged/x 2> said; cat said
    umount merged; mount -T fstab "$PWD/merged"; how; umount merged`);
  const line = 'src fuse.ovl rw\n';
  const remounted = `src fuse.ovl ro\ntouch: cannot touch 'merged/x': Read-only file system\n`;
  expect(done).toMatchObject({ code: 0, stderr: '', stdout: `0\n${line}0\n${line}below\n${remounted}${line}` });
});

test('what is wrong is one line, and the status', async () => {
  const done = await run(`
    mount -t fuse.ovl src merged -o lowerdir=none; echo $?
    mount -t fuse.ovl src merged -o "$(cat options),nosuch"; echo $?
    mount -T fstab -a; mount -o remount,ro merged; echo $?; how; umount merged`);
  expect(done.stdout).toBe('3\n2\n2\nsrc fuse.ovl rw\n');
  expect(done.stderr.trimEnd().split('\n')).toEqual([
    expect.stringMatching(/^ovl: lower directory 'none' does not exist$/),
    expect.stringMatching(/^ovl: unknown option 'nosuch'/),
    expect.stringMatching(/^ovl: option 'remount' is refused: .*mount -i -o remount/),
  ]);
});

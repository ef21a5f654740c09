// `ovl fsck` as a user runs it: the built command, judged by what it prints and its exit code.
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { detach, execute } from '../support/mounts.mjs';
import { requireOrSkip } from '../support/require.js';
import { ovl } from './command.mjs';

const timeout = 20_000;
let root: string;

beforeEach((ctx) => {
  requireOrSkip(ctx, existsSync(ovl[1]), 'the built command: `pnpm build`');
  requireOrSkip(ctx, process.getuid?.() === 0, 'devices take root');
  root = mkdtempSync(join(tmpdir(), 'ovl-fsck-'));
  for (const name of ['lower', 'upper', 'work', 'merged']) mkdirSync(join(root, name));
});

afterEach(async () => {
  if (!root) return;
  await detach(join(root, 'merged'));
  rmSync(root, { recursive: true, force: true });
});

const run = (...args: string[]) => execute([...ovl, ...args], { timeout, cwd: root });
const shell = (script: string) => execute(['bash', '-euc', script], { timeout, cwd: root });

test('one line a finding, quoted; repaired when asked; then clean', async () => {
  await shell(`mknod $'upper/a "b"\\n\\377' c 0 0; mkdir -p work/work/#1/x; touch upper/.wh.x`);
  const layers = ['upper', '--work', 'work', '--lower', 'lower'];
  const lines = [
    String.raw`"upper/a \"b\"\x0a\xff": a whiteout of a name that nothing below has: nothing is hidden by it (--repair repairs it)`,
    `"upper/.wh.x": a whiteout by name, beside whiteouts by device: the kernel shows this as an ordinary file, ovl and fuse-overlayfs obey it (not repaired)`,
    `"work/work/#1": a directory in staging: a crash left it; the next mount removes it (--repair repairs it)`,
  ];
  expect(await run('fsck', ...layers)).toMatchObject({ code: 10, stdout: `${lines.join('\n')}\n`, stderr: '' });
  const { code, stdout } = await run('fsck', ...layers, '--repair', '--json');
  expect(code).toBe(10);
  expect(JSON.parse(stdout)).toMatchObject([
    { kind: 'dangling-whiteout', repairable: true, repaired: true },
    { kind: 'mixed-whiteouts', path: 'upper/.wh.x', repairable: false, repaired: false },
    { kind: 'leftover', path: 'work/work/#1', repaired: true },
  ]);
  expect(await run('fsck', ...layers)).toMatchObject({ code: 0, stdout: '', stderr: '' });
  await shell('mkdir -p work/work/#1');
  const repaired = `"work/work/#1": a directory in staging: a crash left it; the next mount removes it (repaired)\n`;
  expect(await run('fsck', ...layers, '--repair')).toMatchObject({ code: 11, stdout: repaired });
});

test('a mounted upper is refused, and a mount is while it is checked', async () => {
  writeFileSync(join(root, 'lower/file'), '');
  const options = 'lowerdir=lower,upperdir=upper,workdir=work';
  expect(await run('mount', '-o', options, 'merged')).toMatchObject({ code: 0 });
  const refused = {
    code: 4,
    stdout: '',
    stderr: expect.stringMatching(/^ovl: .*another overlay is using .*unmount it.*\n$/),
  };
  expect(await run('fsck', 'upper')).toMatchObject(refused);
  await run('umount', 'merged');
  // By absolute paths: relative ones stand as they are in the mount table, where nobody knows what they are relative to.
  const absolute = `lowerdir=${root}/lower,upperdir=${root}/upper,workdir=${root}/work`;
  expect((await shell(`mount -t overlay o -o ${absolute} merged`)).code).toBe(0);
  const byKernel = {
    code: 4,
    stderr: expect.stringMatching(/^ovl: .*kernel's overlayfs at .*merged.*unmount it.*\n$/),
  };
  expect(await run('fsck', 'upper')).toMatchObject(byKernel);
  await shell('umount merged');
  expect(await run('fsck', 'upper', '--work', 'work', '--lower', 'lower')).toMatchObject({ code: 0 });
});

test.each([
  [['fsck'], 2, /name an upper directory/],
  [['fsck', 'upper', 'more'], 2, /unexpected argument 'more'/],
  [['fsck', 'upper', '--mend'], 2, /--mend/],
  [['fsck', 'none'], 3, /none/],
  [['fsck', 'upper', '--work', 'none'], 3, /none/],
  [['fsck', 'upper', '--lower', 'none'], 3, /none/],
])('%j', async (args, code, line) => {
  const done = await run(...args);
  expect(done).toMatchObject({ code, stdout: '', stderr: expect.stringMatching(line) });
  expect(done.stderr.split('\n')).toHaveLength(2);
});

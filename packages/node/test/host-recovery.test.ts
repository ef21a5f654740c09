// What a start removes from the work directory, whoever left it, and what it must not touch.
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { requireOrSkip } from '../../../test/support/require.js';
import { hostUpper } from '../src/host-upper.js';
import { isRoot, temporary } from './host-support.js';

interface Place {
  base: string;
  upper: string;
  work: string;
}

function place(): Place {
  const base = temporary();
  for (const name of ['upper', 'work/work']) mkdirSync(`${base}/${name}`, { recursive: true });
  return { base, upper: `${base}/upper`, work: `${base}/work` };
}

/** Runs a script in `work/work` of a place. */
function left(script: string, { work }: Place): void {
  execFileSync('bash', ['-euc', script], { cwd: `${work}/work` });
}

function recover({ upper, work }: Place): string[] {
  hostUpper({ upper, work }).close?.();
  return readdirSync(`${work}/work`);
}

test('a tree that is big, deep, and has long names', () => {
  const at = place();
  left(
    `mkdir "#1"; cd "#1"; for i in {1..40}; do mkdir $i; (cd $i; touch {1..100}; mkdir {a..e}; touch {a..e}/{1..10}); done
     p=$(printf 'dddddddddd/%.0s' {1..200}); for i in {1..6}; do mkdir -p "$p"; cd "$p"; done; touch "$(printf 'x%.0s' {1..255})"`,
    at,
  );
  expect(recover(at)).toEqual([]);
});

test('names of every kind, also those that the removal itself would give', () => {
  const at = place();
  left(
    String.raw`for name in '#ffffffff' '#0' '#1' '#2' '#3' '#00000004' '#zz' '-rf' ' ' $'a\nb' $'\xff\xfe' '.wh.x' '.wh..wh..opq' '..x' '$(touch y)' '*'
     do mkdir -p -- "./$name/sub/below/deeper"; touch -- "./$name/sub/$name" "./$name/sub/below/f"; done`,
    at,
  );
  expect(recover(at)).toEqual([]);
});

test("other users' objects, sealed ones, and every type", (ctx) => {
  requireOrSkip(ctx, isRoot, 'root');
  const at = place();
  left(
    `mkdir -p "#1/a/b" "#2"; echo x > "#1/a/b/f"; mkfifo "#2/fifo"; mknod "#2/null" c 1 3; mknod "#2/w" c 0 0; ln -s / "#2/root"; ln -s loop "#2/loop"
     setfattr -n trusted.overlay.opaque -v y "#1/a" || true; chown -R 1234:1234 "#1"; chmod -R 0 "#1" "#2"`,
    at,
  );
  expect(recover(at)).toEqual([]);
});

test('what an ordinary user may not remove is named, and stays', (ctx) => {
  requireOrSkip(ctx, isRoot, 'giving files away takes root');
  const at = place();
  left('mkdir "#1" "#2"; touch "#1/f" "#2/f"', at);
  const script = `import { hostUpper } from ${JSON.stringify(new URL('../dist/index.js', import.meta.url).href)};
    try { hostUpper(JSON.parse(process.argv[1])); } catch ({ message }) { console.log(message); }`;
  execFileSync('chown', ['-R', '65534:65534', at.base]);
  execFileSync('chown', ['-R', '0:0', `${at.work}/work/#1`]);
  const args = ['--input-type=module', '-e', script, JSON.stringify({ upper: at.upper, work: at.work })];
  const { stdout } = spawnSync(process.execPath, args, { uid: 65534, gid: 65534, encoding: 'utf8' });
  expect(stdout).toMatch(/^EACCES: .*work\/work\/#1\/f'/);
  expect(readdirSync(`${at.work}/work/#1`)).toEqual(['f']);
});

test('nothing beside it', () => {
  const at = place();
  mkdirSync(`${at.work}/other`);
  for (const path of ['other/f', 'f', '#1']) writeFileSync(`${at.work}/${path}`, '');
  writeFileSync(`${at.upper}/#1`, '');
  expect(recover(at)).toEqual([]);
  expect(readdirSync(at.work).sort()).toEqual(['#1', 'f', 'other', 'work']);
  expect(readdirSync(at.upper)).toEqual(['#1']);
});

test("the kernel's own leftovers, of a mount with an index", (ctx) => {
  requireOrSkip(ctx, isRoot, 'mounting overlayfs needs root');
  const at = place();
  for (const name of ['lower', 'merged']) mkdirSync(`${at.base}/${name}`);
  const script = `cd "$1"; touch lower/a lower/b; ln lower/b lower/b2; mkdir lower/d; touch lower/d/f
    mount -t overlay o -o lowerdir=lower,upperdir=upper,workdir=work,index=on,redirect_dir=on merged
    rm merged/a; echo x >> merged/b; rm -r merged/d; mkdir merged/d; umount merged
    mkdir "work/work/#99"; touch "work/work/#99/f" "work/work/#9a"`;
  execFileSync('sh', ['-euc', script, 'sh', at.base]);
  const index = readdirSync(`${at.work}/index`);
  expect(recover(at)).toEqual([]);
  expect(readdirSync(`${at.work}/index`)).toEqual(index); // not the work directory's affair
  const again =
    'cd "$1"; mount -t overlay o -o lowerdir=lower,upperdir=upper,workdir=work,index=on,redirect_dir=on merged; ls merged; umount merged';
  expect(execFileSync('sh', ['-euc', again, 'sh', at.base], { encoding: 'utf8' })).toBe('b\nb2\nd\n');
});

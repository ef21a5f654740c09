// Where files came from, as it stands on a disk: what we wrote and what the kernel wrote, opened again.
import { execFileSync } from 'node:child_process';
import { appendFileSync, chmodSync, linkSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { inodeIndex, type Layer, metacopies, type Overlay, overlay, runSync } from '@ovl/core';
import { commit, type Provenance, provenance } from '@ovl/core/changes';
import { serializedLayer, serializeUpper } from '@ovl/core/serial';
import { expect, onTestFinished, test } from 'vitest';
import { requireOrSkip } from '../../../test/support/require.js';
import { createFs } from '../src/fs/fs.js';
import { hostLayer } from '../src/host-layer.js';
import { hostUpper } from '../src/host-upper.js';
import { isRoot, temporary } from './host-support.js';

const brief = ({ kind, from, changed }: Provenance): string =>
  [kind, ...from.map(({ layer, path }) => `${layer}:${path}`), changed].join(' ');
const about = (merged: Overlay<'sync'>, ...paths: string[]): string[] =>
  paths.map((path) => brief(runSync(provenance(merged, path))));

function directories(): (path: string) => string {
  const base = temporary();
  const at = (path: string): string => join(base, path);
  for (const name of ['lower/dir', 'other', 'upper', 'work', 'merged']) mkdirSync(at(name), { recursive: true });
  for (const name of ['file', 'moved', 'gone', 'dir/inner', 'one']) writeFileSync(at(`lower/${name}`), name);
  linkSync(at('lower/one'), at('lower/two'));
  return at;
}

/** Closed after the test. */
function opened(at: (path: string) => string, ...lower: string[]): Overlay<'sync'> {
  const layers = lower.map((name) => hostLayer(at(name)));
  const merged = overlay({
    lower: layers,
    upper: hostUpper({ upper: at('upper'), work: at('work') }),
    metacopy: metacopies('make'),
    index: inodeIndex('auto'),
  });
  onTestFinished(() => runSync(merged.close()));
  return merged;
}

test('is kept through renames, hard links and closing; another layer is not taken for the one that was', (ctx) => {
  requireOrSkip(ctx, isRoot, 'trusted attributes need root');
  const at = directories();
  const first = opened(at, 'lower');
  const fs = createFs(first);
  fs.appendFileSync('/file', '!');
  fs.chmodSync('/moved', 0o600);
  fs.renameSync('/moved', '/dir/here');
  fs.renameSync('/dir', '/folder');
  fs.appendFileSync('/two', '!');
  fs.writeFileSync('/new', 'new');
  runSync(first.close());
  const expected = [
    'copied 1:/file content',
    'copied 1:/moved metadata',
    'copied 1:/dir nothing',
    'lower nothing',
    'created nothing',
  ];
  const paths = ['/file', '/folder/here', '/folder', '/folder/inner', '/new'];
  const again = opened(at, 'lower');
  expect(about(again, ...paths)).toEqual(expected);
  expect(runSync(provenance(again, '/folder/here')).data).toEqual({ own: 0, below: 5 });
  expect(about(again, '/one', '/two').every((told) => /^copied 1:\/(one|two) content$/.test(told))).toBe(true);
  runSync(again.close());
  // The same bytes elsewhere on the same file system, while what was copied is still there.
  execFileSync('cp', ['-a', `${at('lower')}/.`, at('other')]);
  const others = overlay({ lower: [hostLayer(at('upper')), hostLayer(at('other'))], metacopy: metacopies('follow') });
  onTestFinished(() => runSync(others.close()));
  const told = (path: string): string => brief(runSync(provenance(others, path, { uppers: 1 })));
  expect([told('/file'), told('/folder/here')]).toEqual(['unknown unknown', 'unknown unknown']);
  expect(told('/new')).toBe('created nothing');
});

test('is kept by layers that are made of an upper', (ctx) => {
  requireOrSkip(ctx, isRoot, 'trusted attributes need root');
  const at = directories();
  const merged = overlay({
    lower: [hostLayer(at('lower'))],
    upper: hostUpper({ upper: at('upper'), work: at('work') }),
  });
  onTestFinished(() => runSync(merged.close()));
  createFs(merged).renameSync('/moved', '/here');
  const lower = hostLayer(at('lower'));
  onTestFinished(() => lower.close?.());
  const saved = serializedLayer(Buffer.concat([...serializeUpper(merged)]));
  const committed = runSync(commit(merged)) as Layer<'sync'>;
  for (const layer of [saved, committed])
    expect(about(overlay({ lower: [layer, lower] }), '/here')).toEqual(['copied 1:/moved nothing']);
});

test('is what the kernel recorded', (ctx) => {
  requireOrSkip(ctx, isRoot, 'mounting needs root');
  const at = directories();
  const options = `lowerdir=${at('lower')},upperdir=${at('upper')},workdir=${at('work')},redirect_dir=on,metacopy=on`;
  try {
    execFileSync('mount', ['-t', 'overlay', 'overlay', '-o', options, at('merged')], { stdio: 'pipe' });
  } catch (error) {
    requireOrSkip(ctx, false, `the kernel does not mount an overlay here: ${String(error).split('\n')[1]}`);
  }
  try {
    appendFileSync(at('merged/file'), '!');
    chmodSync(at('merged/moved'), 0o600);
    renameSync(at('merged/moved'), at('merged/dir/here'));
    renameSync(at('merged/dir'), at('merged/folder'));
    rmSync(at('merged/gone'));
    writeFileSync(at('merged/gone'), 'gone');
  } finally {
    execFileSync('umount', [at('merged')]);
  }
  const merged = opened(at, 'lower');
  expect(about(merged, '/file', '/folder/here', '/folder', '/folder/inner', '/gone')).toEqual([
    'copied 1:/file content',
    'copied 1:/moved metadata',
    'copied 1:/dir nothing',
    'lower nothing',
    'created nothing',
  ]);
});

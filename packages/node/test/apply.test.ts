// What an overlay over a directory changed, made to the directory itself: nothing of the overlay's format stays in it.
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { overlay, runSync } from '@ovl/core';
import { apply, diff } from '@ovl/core/changes';
import { expect, onTestFinished, test } from 'vitest';
import { requireOrSkip } from '../../../test/support/require.js';
import { createFs } from '../src/fs/fs.js';
import { hostLayer } from '../src/host-layer.js';
import { hostUpper } from '../src/host-upper.js';
import { isRoot, temporary } from './host-support.js';

test('a project gets what was done to it in an overlay', (ctx) => {
  requireOrSkip(ctx, isRoot, 'owners and redirects need root');
  const base = temporary();
  const at = (path: string): string => join(base, path);
  for (const name of ['project/src/deep', 'project/old', 'upper', 'work', 'ours'])
    mkdirSync(at(name), { recursive: true });
  for (const name of ['src/deep/file', 'src/main', 'old/gone', 'secret']) writeFileSync(at(`project/${name}`), name);
  chmodSync(at('project/old'), 0o500);
  linkSync(at('project/src/main'), at('project/main'));
  utimesSync(at('project/src/deep'), 1e9, 1e9);

  const merged = overlay({
    lower: [hostLayer(at('project'))],
    upper: hostUpper({ upper: at('upper'), work: at('work') }),
  });
  const target = overlay({ lower: [], upper: hostUpper({ upper: at('project'), work: at('ours') }) });
  onTestFinished(() => {
    for (const each of [merged, target]) runSync(each.close());
  });
  const fs = createFs(merged);
  fs.renameSync('/src', '/lib');
  fs.writeFileSync('/lib/main', 'changed');
  fs.linkSync('/lib/main', '/again');
  fs.rmSync('/old', { recursive: true });
  fs.chownSync('/secret', 1234, 5678);
  fs.chmodSync('/secret', 0o4755);
  fs.symlinkSync('lib', '/link');
  fs.writeFileSync('/sparse', 'begin');
  fs.truncateSync('/sparse', 4 << 20);
  fs.utimesSync('/lib', 5, 6);

  const changes = runSync(diff(merged, { directoryTimes: 'report' }));
  expect(changes.filter(({ kind }) => kind === 'renamed').map(({ path, from }) => [path, from])).toEqual([
    ['/lib', '/src'],
  ]);
  const wanted = fs.statSync('/sparse');
  runSync(apply(changes, target));
  expect(readdirSync(at('project')).sort()).toEqual(['again', 'lib', 'link', 'main', 'secret', 'sparse']);
  expect(readFileSync(at('project/lib/main'), 'utf8')).toBe('changed');
  expect(lstatSync(at('project/again')).ino).toBe(lstatSync(at('project/lib/main')).ino);
  expect(readFileSync(at('project/main'), 'utf8')).toBe('src/main'); // copied up alone: the link was broken there, too
  expect(lstatSync(at('project/lib')).mtimeMs).toBe(6000);
  expect(lstatSync(at('project/lib/deep')).mtimeMs).toBe(1e12);
  expect(lstatSync(at('project/sparse'))).toMatchObject({ blocks: wanted.blocks, mtimeMs: wanted.mtimeMs });
  const { uid, gid, mode } = lstatSync(at('project/secret'));
  expect([uid, gid, mode & 0o7777]).toEqual([1234, 5678, 0o4755]);

  const attributes = execFileSync('getfattr', ['-R', '-h', '-d', '-m', '.', at('project')], { encoding: 'utf8' });
  expect(attributes).not.toContain('overlay');
  expect(execFileSync('find', [at('project'), '-type', 'c'], { encoding: 'utf8' })).toBe('');
});

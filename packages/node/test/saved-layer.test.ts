// An upper in a file, opened again by another process; what fails leaves what was there.
import { execFileSync } from 'node:child_process';
import {
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { type Layer, memoryLayer, type Overlay, overlay, runSync } from '@ovl/core';
import { expect, onTestFinished, test } from 'vitest';
import { requireOrSkip } from '../../../test/support/require.js';
import { rawTree } from '../../core/test/archive-support.js';
import { createFs } from '../src/fs/fs.js';
import { hostLayer } from '../src/host-layer.js';
import { hostUpper } from '../src/host-upper.js';
import { savedLayer, saveLayer } from '../src/saved-layer.js';
import { isRoot, temporary } from './host-support.js';

function saved(path: string): ReturnType<typeof savedLayer> {
  const layer = savedLayer(path);
  onTestFinished(() => layer.close() as undefined);
  return layer;
}

test('an upper goes on in another process, over the same layers', async (ctx) => {
  requireOrSkip(ctx, isRoot, 'trusted attributes need root');
  const base = temporary();
  const at = (path: string): string => join(base, path);
  for (const name of ['lower/dir/deep', 'upper', 'work']) mkdirSync(at(name), { recursive: true });
  for (const name of ['gone', 'dir/deep/file', 'dir/kept']) writeFileSync(at(`lower/${name}`), name);
  const merged = overlay({
    lower: [hostLayer(at('lower'))],
    upper: hostUpper({ upper: at('upper'), work: at('work') }),
  });
  onTestFinished(() => runSync(merged.close()));
  const fs = createFs(merged);
  fs.rmSync('/gone');
  fs.renameSync('/dir', '/folder');
  fs.appendFileSync('/folder/deep/file', ' and more');
  fs.writeFileSync('/large', 'x'.repeat(200_000));
  await saveLayer(merged as Overlay, at('work.tar'));
  const program = `
    import { overlay } from '@ovl/core';
    import { createFs, hostLayer, savedLayer } from '@ovl/node';
    const fs = createFs(overlay({ lower: [savedLayer(${JSON.stringify(at('work.tar'))}), hostLayer(${JSON.stringify(at('lower'))})] }));
    console.log(fs.readdirSync('/').join(), fs.readdirSync('/folder').join(), fs.readFileSync('/folder/deep/file', 'utf8'), fs.statSync('/large').size);
  `;
  const options = { cwd: join(import.meta.dirname, '../../..'), timeout: 30_000 };
  expect(execFileSync(process.execPath, ['--input-type=module', '-e', program], options).toString()).toBe(
    'folder,large deep,kept dir/deep/file and more 200000\n',
  );
});

test('a directory of the host comes back bit by bit', async (ctx) => {
  requireOrSkip(ctx, isRoot, 'devices and owners need root');
  const base = temporary();
  const at = (path: string): string => join(base, path);
  mkdirSync(at('tree/sub'), { recursive: true });
  writeFileSync(Buffer.concat([Buffer.from(at('tree/')), Buffer.from([0xff, 0x80])]), 'name');
  writeFileSync(at('tree/sub/file'), 'content', { mode: 0o4711 });
  linkSync(at('tree/sub/file'), at('tree/twin'));
  symlinkSync('sub/file', at('tree/link'));
  writeFileSync(at('tree/sparse'), 'begin');
  truncateSync(at('tree/sparse'), 1 << 22);
  execFileSync('mknod', [at('tree/whiteout'), 'c', '0', '0']);
  execFileSync('mkfifo', [at('tree/fifo')]);
  const server = createServer().listen(at('tree/socket'));
  onTestFinished(() => void server.close());
  await new Promise((resolve) => server.once('listening', resolve));
  utimesSync(at('tree/sub'), 1.000000001, -1.5);
  const layer = hostLayer(at('tree'));
  onTestFinished(() => layer.close?.());
  await saveLayer(layer, at('tree.tar'));
  const raw = async (of: Layer): Promise<unknown> => {
    const objects = Object.entries(await rawTree(of, { skipsHoles: false }));
    // Reading has moved the times of access.
    return objects.map(([path, object]) => [path, { ...(object as object), atimeSec: 0, atimeNsec: 0 }]);
  };
  expect(await raw(saved(at('tree.tar')) as Layer)).toEqual(await raw(layer as Layer));
  expect(lstatSync(at('tree.tar')).size).toBeLessThan(1 << 18);
});

test('what fails leaves the file that was there, and nothing beside it', async () => {
  const base = temporary();
  const path = join(base, 'layer.tar');
  await saveLayer(memoryLayer({ from: { a: 'first' } }), path);
  const before = readFileSync(path);
  const stop = new AbortController();
  const large = memoryLayer({ from: { a: 'x'.repeat(300_000) } });
  await expect(saveLayer(large, path, { signal: stop.signal, progress: () => stop.abort() })).rejects.toMatchObject({
    name: 'AbortError',
  });
  expect([readdirSync(base), Buffer.compare(readFileSync(path), before)]).toEqual([['layer.tar'], 0]);
  await expect(saveLayer(large, join(base, 'none/layer.tar'))).rejects.toMatchObject({ code: 'ENOENT' });
  await expect(saveLayer(large, base)).rejects.toMatchObject({ code: 'EISDIR' });
  expect(readdirSync(base)).toEqual(['layer.tar']);
  await saveLayer(large, path);
  expect(createFs(overlay({ lower: [saved(path)] })).statSync('/a').size).toBe(300_000);
  writeFileSync(path, before.subarray(0, -10));
  expect(() => savedLayer(path)).toThrow(/^EINVAL: .*cut short/);
  expect(() => savedLayer(join(base, 'none'))).toThrow(/^ENOENT/);
});

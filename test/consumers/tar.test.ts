// Archives stream into layers and out of them: tar (node-tar) parses what the command `tar` wrote, modern-tar packs what the
// overlay shows for `tar` to unpack.
import { execFile } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import * as hostFs from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { promisify } from 'node:util';
import { createGunzip, createGzip } from 'node:zlib';
import type { NodeFs } from '@ovl/node';
import { createTarDecoder, createTarPacker } from 'modern-tar';
import { Parser, type ReadEntry } from 'tar';
import { describe, expect, test } from 'vitest';
import { BASES, stacked, temporaryDirectory } from './layers.js';

const run = promisify(execFile);
const LONG = 'long-'.repeat(40);
const BIG = randomBytes(300_000);

/** A directory of the host with one of each thing an archive keeps, and its archive. */
async function archived(): Promise<{ tree: string; archive: string }> {
  const at = temporaryDirectory();
  const tree = join(at, 'tree');
  hostFs.mkdirSync(join(tree, 'dir', LONG), { recursive: true });
  hostFs.writeFileSync(join(tree, 'dir/big'), BIG);
  hostFs.writeFileSync(join(tree, 'dir/tool'), '#!/bin/sh\n', { mode: 0o755 });
  hostFs.writeFileSync(join(tree, 'dir', LONG, 'käse'), 'deep');
  hostFs.writeFileSync(join(tree, 'empty'), '');
  hostFs.symlinkSync('dir/tool', join(tree, 'link'));
  hostFs.linkSync(join(tree, 'dir/big'), join(tree, 'same'));
  for (const path of ['dir/big', 'dir/tool', 'dir']) hostFs.utimesSync(join(tree, path), 1e9, 1.2e9);
  await run('tar', ['--format=posix', '-czf', join(at, 'tree.tgz'), '-C', tree, '.']);
  return { tree, archive: join(at, 'tree.tgz') };
}

/** What is below a directory, by path: kind, mode, modification time, names, and content or target. */
function listing(fs: NodeFs, root: string): Record<string, unknown[]> {
  const found: Record<string, unknown[]> = {};
  for (const name of fs.readdirSync(root, { recursive: true }) as string[]) {
    const at = join(root, name);
    const { mode, mtimeMs, nlink } = fs.lstatSync(at);
    const isLink = fs.lstatSync(at).isSymbolicLink();
    if (isLink) found[name] = ['link', fs.readlinkSync(at)];
    else if (fs.statSync(at).isDirectory()) found[name] = [mode, Math.floor(mtimeMs / 1000)];
    else
      found[name] = [
        mode,
        Math.floor(mtimeMs / 1000),
        nlink,
        createHash('sha1').update(fs.readFileSync(at)).digest('hex'),
      ];
  }
  return found;
}

/** Unpacks, as a program would that knows `fs` alone. */
async function unpack(fs: NodeFs, archive: Readable, to: string): Promise<void> {
  const directories: ReadEntry[] = [];
  const written: Promise<void>[] = [];
  const put = async (entry: ReadEntry): Promise<void> => {
    const at = join(to, entry.path);
    const { mode = 0o644, mtime = new Date(0) } = entry;
    if (entry.type === 'Directory') {
      directories.push(entry);
      await fs.promises.mkdir(at, { recursive: true });
      entry.resume();
    } else {
      await fs.promises.rm(at, { force: true });
      if (entry.type === 'SymbolicLink') await fs.promises.symlink(entry.linkpath as string, at);
      if (entry.type === 'Link') await fs.promises.link(join(to, entry.linkpath as string), at);
      if (entry.type !== 'File') return void entry.resume();
      await pipeline(entry as unknown as NodeJS.ReadableStream, fs.createWriteStream(at, { flags: 'wx', mode }));
      await fs.promises.utimes(at, mtime, mtime);
    }
  };
  const parser = new Parser({ strict: true, onReadEntry: (entry) => written.push(put(entry)) });
  await pipeline(archive, parser as unknown as NodeJS.WritableStream);
  await Promise.all(written);
  for (const { path, mode = 0o755, mtime = new Date(0) } of directories.toReversed()) {
    await fs.promises.chmod(join(to, path), mode);
    await fs.promises.utimes(join(to, path), mtime, mtime);
  }
}

/** Packs a directory; the archive is to be read while it is made. */
function pack(fs: NodeFs, root: string): ReadableStream<Uint8Array> {
  const { readable, controller } = createTarPacker();
  const firstNames = new Map<number, string>();
  const add = async (name: string): Promise<void> => {
    const at = join(root, name);
    const { mode, mtime, size, ino, nlink } = await fs.promises.lstat(at);
    const header = { name, mode: mode & 0o7777, mtime, size: 0 };
    const kind = mode & fs.constants.S_IFMT;
    const first = nlink > 1 ? firstNames.get(ino) : undefined;
    if (kind === fs.constants.S_IFDIR) {
      await controller.add({ ...header, name: `${name}/`, type: 'directory' }).close();
      for await (const entry of await fs.promises.opendir(at)) await add(join(name, entry.name));
    } else if (kind === fs.constants.S_IFLNK) {
      await controller.add({ ...header, type: 'symlink', linkname: await fs.promises.readlink(at) }).close();
    } else if (first !== undefined) await controller.add({ ...header, type: 'link', linkname: first }).close();
    else {
      firstNames.set(ino, name);
      const content = Readable.toWeb(fs.createReadStream(at)) as ReadableStream<Uint8Array>;
      await content.pipeTo(controller.add({ ...header, size }));
    }
  };
  const all = async (): Promise<void> => {
    for (const name of await fs.promises.readdir(root)) await add(name);
    controller.finalize();
  };
  all().catch((error: unknown) => controller.error(error));
  return readable;
}

describe.each(BASES)('archives over layers on %s', (base) => {
  const below = {
    '/in/dir/tool': 'of the lower',
    '/in/dir/kept': 'of the lower',
    '/in/empty/gone': '',
    '/in/same': 'old',
  };
  const layered = () => stacked(base, below, (fs) => fs.rmSync('/in/empty', { recursive: true }));

  test('what tar unpacks is the tree that was packed, over what was there', async () => {
    const { tree, archive } = await archived();
    const { fs } = layered();
    await unpack(fs, hostFs.createReadStream(archive).pipe(createGunzip()), '/in');
    const found = listing(fs, '/in');
    expect(found['dir/kept']).toMatchObject([0o100644, expect.any(Number), 1, expect.any(String)]);
    delete found['dir/kept'];
    expect(found).toEqual(listing(hostFs, tree));
  });

  test('what modern-tar packs is the tree that tar unpacks', async () => {
    const { archive } = await archived();
    const { fs } = layered();
    await unpack(fs, hostFs.createReadStream(archive).pipe(createGunzip()), '/in');
    const out = temporaryDirectory();
    const packed = Readable.fromWeb(pack(fs, '/in') as never);
    await pipeline(packed, createGzip(), fs.createWriteStream('/out.tgz'));
    await pipeline(fs.createReadStream('/out.tgz'), hostFs.createWriteStream(join(out, 'out.tgz')));
    hostFs.mkdirSync(join(out, 'tree'));
    await run('tar', ['-xpzf', join(out, 'out.tgz'), '-C', join(out, 'tree')]);
    expect(listing(hostFs, join(out, 'tree'))).toEqual(listing(fs, '/in'));
  });

  test('an archive is read to its end while another file takes its name', async () => {
    const { archive } = await archived();
    const { fs } = layered();
    await pipeline(hostFs.createReadStream(archive), createGunzip(), fs.createWriteStream('/a.tar'));
    const names: string[] = [];
    const entries = Readable.toWeb(
      fs.createReadStream('/a.tar', { highWaterMark: 4096 }),
    ) as ReadableStream<Uint8Array>;
    for await (const { header, body } of entries.pipeThrough(createTarDecoder({ strict: true }))) {
      if (names.push(header.name) === 1) fs.renameSync('/in/same', '/a.tar');
      await body.cancel();
    }
    const { stdout } = await run('tar', ['-tf', archive]);
    expect(names.toSorted()).toEqual(stdout.trimEnd().split('\n').toSorted());
    expect(fs.readFileSync('/a.tar', 'utf8')).toBe('old');
  });
});

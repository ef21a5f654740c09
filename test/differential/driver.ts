/**
 * A child process that serves a mount, or that holds one file system and carries out operations on it, so that one that
 * hangs can be killed without the tests. It answers one request at a time; protocol.ts has the requests.
 */
import { S_IFDIR, S_IFMT, S_IFREG } from '@ovl/core';
import { buildLayer } from './build-layer.js';
import type { Calls } from './calls.js';
import { Executor, type InoLabels, snapshot } from './execute.js';
import { KernelCalls } from './kernel-calls.js';
import type { Requests } from './protocol.js';
import { respond } from './respond.js';
import { type Flavour, openSide, type Opened, serve } from './sides.js';

let opened: Opened | undefined;
let inos: InoLabels = new Map();
let numbered: 'all' | 'files' = 'all';
let end: (() => Promise<void>) | undefined;

function current(): Calls {
  if (opened === undefined) throw new Error('no file system is open');
  return opened.calls;
}

respond<Requests>({
  build({ root, entries, prefix }) {
    buildLayer(root, entries, prefix);
  },
  open({ kind, place, flavour }) {
    inos = labels(place.lower, flavour);
    numbered = flavour.userxattr ? 'files' : 'all';
    opened = openSide(kind, place, flavour);
  },
  async serve({ place, flavour }) {
    end = await serve(place, flavour);
  },
  async unserve() {
    const ending = end;
    end = undefined;
    await ending?.();
  },
  run({ operations, umask }) {
    const calls = current();
    calls.umask(umask);
    const executor = new Executor(calls, inos);
    try {
      return executor.run(operations);
    } finally {
      executor.closeAll();
      calls.umask(0);
    }
  },
  snapshot() {
    return snapshot(current(), inos, numbered);
  },
  close() {
    const closing = opened;
    opened = undefined;
    closing?.close();
  },
  look({ root }) {
    const calls = new KernelCalls(root);
    try {
      return snapshot(calls, undefined);
    } finally {
      calls.end();
    }
  },
});

/**
 * Inode numbers of the lower objects. Without an index, those with several names get new ones when one of these is copied
 * up; with userxattr, what is no file or directory can hold no `origin`, so that its number lasts only as long as it is
 * cached. Of a directory of the upper alone, ours goes by its `origin`, the kernel does not.
 */
function labels(roots: readonly string[], { userxattr, index, deepMoves }: Flavour): Map<number, string | undefined> {
  const found = new Map<number, string | undefined>();
  roots.forEach((root, layer) => {
    const calls = new KernelCalls(root);
    const visit = (path: string): void => {
      const { ino, mode, nlink } = calls.stat(undefined, path);
      const isDir = (mode & S_IFMT) === S_IFDIR;
      const holdsOrigin = isDir || (mode & S_IFMT) === S_IFREG || !userxattr;
      const staysOne = isDir ? deepMoves !== true : nlink === 1 || index === true;
      if (!found.has(ino)) found.set(ino, holdsOrigin && staysOne ? `${layer}:${path}` : undefined);
      if (!isDir) return;
      const handle = calls.open(undefined, path, { ...DIRECTORY }, 0);
      const entries = calls.freaddir(handle);
      calls.close(handle);
      for (const { name } of entries) visit(path === '' ? name : `${path}/${name}`);
    };
    visit('');
    calls.end();
  });
  return found;
}

const DIRECTORY = {
  read: true,
  write: false,
  create: false,
  exclusive: false,
  truncate: false,
  append: false,
  directory: true,
};

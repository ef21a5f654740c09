// What the operations of volumes.test.ts are in terms of an `fs`: the host's below a directory, or one over an overlay.

/**
 * By kind; `open` holds descriptors by slot.
 * @returns {Record<string, (operation: any) => unknown>}
 */
export function actions(fs, root, open) {
  const kindOf = (stat) => (stat.isDirectory() ? 'directory' : stat.isSymbolicLink() ? 'link' : 'file');
  return {
    write: ({ path, text }) => fs.writeFileSync(root + path, text),
    append: ({ path, text }) => fs.appendFileSync(root + path, text),
    read: ({ path }) => fs.readFileSync(root + path, 'utf8'),
    truncate: ({ path }) => fs.truncateSync(root + path, 1),
    mkdir: ({ path }) => fs.mkdirSync(root + path),
    rmdir: ({ path }) => fs.rmdirSync(root + path),
    unlink: ({ path }) => fs.unlinkSync(root + path),
    rename: ({ path, to }) => fs.renameSync(root + path, root + to),
    link: ({ path, to }) => fs.linkSync(root + path, root + to),
    symlink: ({ path, to }) => fs.symlinkSync(to, root + path),
    chmod: ({ path }) => fs.chmodSync(root + path, 0o640),
    utimes: ({ path }) => fs.utimesSync(root + path, 1, 2),
    access: ({ path }) => fs.accessSync(root + path, fs.constants.W_OK),
    realpath: ({ path }) => fs.realpathSync.native(root + path).slice(root.length) || '/',
    readdir: ({ path }) => fs.readdirSync(root + path).sort(),
    stat: ({ path }) => {
      const stat = fs.statSync(root + path);
      const isBase = stat.dev === fs.statSync(`${root}/`).dev;
      return [kindOf(stat), stat.mode & 0o777, isBase, stat.isFile() ? [stat.size, stat.nlink] : []];
    },
    open: ({ path, slot, flags }) => {
      if (open.has(slot)) fs.closeSync(open.get(slot));
      open.delete(slot);
      open.set(slot, fs.openSync(root + path, flags));
    },
    put: ({ slot, text }) => void (open.has(slot) && fs.writeSync(open.get(slot), text)),
    close: ({ slot }) => {
      if (open.has(slot)) fs.closeSync(open.get(slot));
      open.delete(slot);
    },
  };
}

/** All that a tree shows. */
export function seen(fs, root, path) {
  const stat = fs.lstatSync(`${root}${path}/`.replace(/(?<=.)\/$/, ''));
  if (stat.isSymbolicLink()) return { link: fs.readlinkSync(root + path) };
  if (!stat.isDirectory()) return { content: fs.readFileSync(root + path, 'utf8'), mode: stat.mode & 0o777 };
  const names = fs.readdirSync(root + path || '/').sort();
  return { entries: Object.fromEntries(names.map((name) => [name, seen(fs, root, `${path}/${name}`)])) };
}

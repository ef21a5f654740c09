// The operations that are measured, by the synchronous functions of node:fs, which most of the systems have.

/**
 * What a system offers; those without synchronous functions answer with promises.
 * @typedef {object} Face
 * @property {(path: string) => any} stat Has `size` and, where the system knows it, `mode`. Throws where there is nothing.
 * @property {(path: string) => any} read Bytes.
 * @property {(path: string) => any} readdir Names.
 * @property {(path: string, bytes: Uint8Array) => any} write The whole file, new or not.
 * @property {(path: string, bytes: Uint8Array) => any} append
 * @property {(path: string) => any} unlink
 * @property {(path: string, position: number, bytes: Uint8Array) => any} writeAt Into a file that is there.
 * @property {(path: string) => any} mkdir
 * @property {(path: string) => any} rmdir Throws unless it is empty.
 * @property {(from: string, to: string) => any} rename
 * @property {(path: string, mode: number) => any} chmod
 * @property {(path: string, length: number) => any} truncate
 * @property {(target: string, path: string) => any} symlink
 * @property {(path: string) => any} readlink
 * @property {(from: string, to: string) => any} link
 */

/** @returns {Face} */
export const nodeFace = (/** @type {any} */ fs) => ({
  stat: (path) => fs.statSync(path),
  read: (path) => fs.readFileSync(path),
  readdir: (path) => fs.readdirSync(path),
  write: (path, bytes) => fs.writeFileSync(path, bytes),
  append: (path, bytes) => fs.appendFileSync(path, bytes),
  unlink: (path) => fs.unlinkSync(path),
  writeAt: (path, position, bytes) => {
    const fd = fs.openSync(path, 'r+');
    fs.writeSync(fd, bytes, 0, bytes.length, position);
    fs.closeSync(fd);
  },
  mkdir: (path) => fs.mkdirSync(path),
  rmdir: (path) => fs.rmdirSync(path),
  rename: (from, to) => fs.renameSync(from, to),
  chmod: (path, mode) => fs.chmodSync(path, mode),
  truncate: (path, length) => fs.truncateSync(path, length),
  symlink: (target, path) => fs.symlinkSync(target, path),
  readlink: (path) => fs.readlinkSync(path),
  link: (from, to) => fs.linkSync(from, to),
});

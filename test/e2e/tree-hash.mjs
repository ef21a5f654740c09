// The hash of a tree: names, types, modes, owners, times, link targets and contents, in sorted order.
// `node test/e2e/tree-hash.mjs DIR LIST UNIT` prints it and how many objects there are; LIST gets a line for each,
// so that two trees can be compared line by line; UNIT, in nanoseconds, is how exactly times are looked at. A process of its own: a mount that hangs, hangs only this.
import { createHash } from 'node:crypto';
import { closeSync, lstatSync, openSync, readdirSync, readlinkSync, readSync, writeFileSync } from 'node:fs';

const [root = '.', list = '', unit = '1'] = process.argv.slice(2);
const buffer = Buffer.allocUnsafe(1 << 20);
const lines = [];
visit(Buffer.from(root), '.');
const text = lines.join('\n');
writeFileSync(list, text);
console.log(JSON.stringify({ hash: createHash('sha256').update(text).digest('hex'), objects: lines.length }));

/**
 * Paths are bytes: not every name in a real tree is UTF-8.
 * @param {Buffer} path
 * @param {string} shown
 */
function visit(path, shown) {
  const found = lstatSync(path, { bigint: true });
  const { mode, uid, gid, mtimeNs, rdev, size } = found;
  const line = [shown, mode.toString(8), `${uid}:${gid}`, mtimeNs / BigInt(unit)];
  if (found.isFile()) line.push(size, contentHash(path));
  if (found.isSymbolicLink()) line.push(readlinkSync(path, 'latin1'));
  if (found.isCharacterDevice() || found.isBlockDevice()) line.push(rdev);
  lines.push(line.join(' '));
  if (!found.isDirectory()) return;
  for (const name of readdirSync(path, 'buffer').sort(Buffer.compare))
    visit(Buffer.concat([path, Buffer.from('/'), name]), `${shown}/${name.toString('latin1')}`);
}

/** @param {Buffer} path */
function contentHash(path) {
  const hash = createHash('sha256');
  const fd = openSync(path, 'r');
  try {
    for (let got = 0; (got = readSync(fd, buffer)) > 0; ) hash.update(buffer.subarray(0, got));
  } finally {
    closeSync(fd);
  }
  return hash.digest('hex');
}

// An npm project that needs no network: many packages of small files, as front-end projects have them, in npm's cache.
import { createHash } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { gzipSync } from 'node:zlib';

const block = 512;
const modules = 12; // of each package; each is a source, its types and its map

/**
 * @typedef {{ name: string, version: string, tarball: Buffer, integrity: Buffer }} Package
 * @param {number} count
 * @returns {Package[]}
 */
export function packages(count) {
  return Array.from({ length: count }, (_, i) => {
    const name = `package-${i}`;
    const version = '1.0.0';
    const files = {
      'package.json': JSON.stringify({ name, version, main: 'dist/index.js' }),
      'readme.md': `# ${name}\n`,
    };
    for (let m = 0; m < modules; m++) {
      const body = Array.from(
        { length: 12 },
        (_, line) => `export const m${m}_${line} = (a, b) => a * ${i} + b;\n`,
      ).join('');
      files[`dist/module-${m}.js`] = body;
      files[`dist/module-${m}.d.ts`] = body.replace(/=.*/g, ': (a: number, b: number) => number;');
      files[`dist/module-${m}.js.map`] = JSON.stringify({
        version: 3,
        sources: [`../src/module-${m}.ts`],
        mappings: body,
      });
    }
    const tarball = gzipSync(tar(files));
    return { name, version, tarball, integrity: createHash('sha512').update(tarball).digest() };
  });
}

/** package.json and the lock file, which is all that `npm ci` reads. */
export function writeProject(/** @type {string} */ path, /** @type {Package[]} */ all) {
  const dependencies = Object.fromEntries(all.map(({ name, version }) => [name, version]));
  const project = { name: 'project', version: '1.0.0', dependencies };
  const locked = all.map(({ name, version, integrity }) => [
    `node_modules/${name}`,
    {
      version,
      resolved: `https://registry.invalid/${name}/-/${name}-${version}.tgz`, // never asked: the cache goes by content
      integrity: `sha512-${integrity.toString('base64')}`,
    },
  ]);
  const lock = { ...project, lockfileVersion: 3, packages: { '': project, ...Object.fromEntries(locked) } };
  writeFileSync(join(path, 'package.json'), JSON.stringify({ ...project, private: true }));
  writeFileSync(join(path, 'package-lock.json'), JSON.stringify(lock));
}

/** Where npm's content-addressed cache keeps each tarball. */
export function writeCache(/** @type {string} */ path, /** @type {Package[]} */ all) {
  for (const { tarball, integrity } of all) {
    const [, first, second, rest] = /^(..)(..)(.*)$/.exec(integrity.toString('hex')) ?? [];
    const file = join(path, '_cacache/content-v2/sha512', first, second, rest);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, tarball);
  }
}

/** A ustar archive of regular files below `package/`. */
function tar(/** @type {Record<string, string>} */ files) {
  const parts = Object.entries(files).flatMap(([name, text]) => {
    const data = Buffer.from(text);
    return [header(`package/${name}`, data.length), data, Buffer.alloc(-data.length & (block - 1))];
  });
  return Buffer.concat([...parts, Buffer.alloc(2 * block)]);
}

function header(/** @type {string} */ name, /** @type {number} */ size) {
  const octal = (/** @type {number} */ value, /** @type {number} */ digits) => value.toString(8).padStart(digits, '0');
  const bytes = Buffer.alloc(block);
  bytes.write(name, 0);
  bytes.write(`${octal(0o644, 7)}\0${octal(0, 7)}\0${octal(0, 7)}\0${octal(size, 11)}\0${octal(0, 11)}\0`, 100);
  bytes.write('        0', 148); // the checksum counts as blanks; a regular file
  bytes.write('ustar\x0000', 257);
  bytes.write(
    `${octal(
      bytes.reduce((sum, byte) => sum + byte, 0),
      6,
    )}\0 `,
    148,
  );
  return bytes;
}

// What lies below in each row, made once and the same for every system.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { execute } from '../support/mounts.mjs';

const deadline = 600_000;
export const layersInStack = 100;

/** @typedef {(passes: number, args: (string | number)[]) => Promise<unknown>} Workload */

/** Each fills its directory. */
export const fixtures = {
  /** 20,000 files of 4 KiB in 500 directories. */
  async tree(path, sizes, workload) {
    await workload(1, ['create', path, sizes.files, 40]);
  },

  async big(path, sizes, workload) {
    await workload(1, ['write', join(path, 'big'), sizes.bigBytes]);
  },

  async empty() {},

  /** The tree as one archive, which is not itself in a layer. */
  async archive(path, sizes, workload) {
    await workload(1, ['create', join(path, 'tree'), sizes.files, 40]);
    await run(['tar', 'cf', join(path, 'tree.tar'), '-C', join(path, 'tree'), '.']);
  },

  /** Files spread over {@link layersInStack} layers, a directory of each name in all of them. */
  async stack(path, sizes) {
    for (let layer = 0; layer < layersInStack; layer++) {
      const top = join(path, String(layer).padStart(3, '0'));
      mkdirSync(top);
      for (const dir of ['a', 'b']) {
        mkdirSync(join(top, dir));
        for (let i = 0; i < Math.ceil(sizes.stacked / layersInStack / 2); i++)
          writeFileSync(join(top, dir, `f${layer}-${i}`), 'x');
      }
    }
  },

  /** The same number of files in one layer. */
  async single(path, sizes) {
    for (const dir of ['a', 'b']) {
      mkdirSync(join(path, dir));
      for (let i = 0; i < Math.ceil(sizes.stacked / layersInStack / 2) * layersInStack; i++)
        writeFileSync(join(path, dir, `f${i}`), 'x');
    }
  },

  /** A git repository with a commit. */
  async repository(path, sizes, workload) {
    await workload(1, ['create', path, sizes.changedDirs * 40, 40]);
    const git = ['git', '-C', path, '-c', 'user.name=b', '-c', 'user.email=b@b', '-c', 'gc.auto=0'];
    await run([...git, 'init', '-q']);
    await run([...git, 'add', '.']);
    await run([...git, 'commit', '-qm', 'all']);
  },

  /** An npm project whose packages are in a cache beside it. */
  async project(path) {
    const cache = `${path}-cache`;
    const dependencies = { eslint: '9.39.1', typescript: '5.9.3' };
    writeFileSync(
      join(path, 'package.json'),
      JSON.stringify({ name: 'p', version: '1.0.0', private: true, dependencies }),
    );
    const npm = ['--no-audit', '--no-fund', '--ignore-scripts', '--cache', cache, '--prefix', path];
    await run(['npm', 'install', ...npm]);
    await run(['npm', 'ci', ...npm]); // asks the registry in another way, which the cache must know too
    await run(['rm', '-rf', join(path, 'node_modules')]);
  },

  /** A C program in many files. */
  async sources(path, sizes) {
    const count = sizes.sources;
    const names = Array.from({ length: count }, (_, i) => `m${i}`);
    for (const [i, name] of names.entries()) {
      const functions = Array.from(
        { length: 20 },
        (_, k) =>
          `int ${name}_${k}(int x) { int s = ${i}; for (int j = 0; j < x; j++) s = s * 31 + table[j & 7]; return s; }`,
      );
      writeFileSync(join(path, `${name}.c`), `#include <stdio.h>\n#include "all.h"\n${functions.join('\n')}\n`);
    }
    writeFileSync(join(path, 'all.h'), 'static const int table[8] = { 1, 2, 3, 5, 8, 13, 21, 34 };\n');
    writeFileSync(join(path, 'main.c'), 'int m0_0(int); int main(void) { return m0_0(3) == 0; }\n');
    const objects = [...names, 'main'].map((name) => `${name}.o`).join(' ');
    writeFileSync(join(path, 'Makefile'), `program: ${objects}\n\tcc -o $@ $^\n%.o: %.c all.h\n\tcc -c -o $@ $<\n`);
  },

  /** Statements for sqlite3, a transaction each. */
  async statements(path, sizes) {
    const inserts = Array.from({ length: sizes.inserts }, (_, i) => `INSERT INTO t VALUES(${i},'value ${i}');`);
    writeFileSync(join(path, 'inserts.sql'), `CREATE TABLE t(a INTEGER PRIMARY KEY, b TEXT);\n${inserts.join('\n')}\n`);
  },
};

async function run(command) {
  const { code, stderr } = await execute(command, { timeout: deadline });
  if (code !== 0) throw new Error(`${command.slice(0, 3).join(' ')}: ${stderr.trim().slice(-400)}`);
}

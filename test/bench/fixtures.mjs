// What lies below in each row, made once and the same for every system.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { execute } from '../support/mounts.mjs';
import { writeSources } from './c-project.mjs';
import { packages, writeCache, writeProject } from './npm-project.mjs';
import { cut } from './stop.mjs';

const deadline = 600_000;
export const layersInStack = 100;

/**
 * Each fills its directory; `other` makes one that it needs.
 * @typedef {{ sizes: import('./rows.mjs').Sizes, workload: (passes: number, args: (string | number)[]) => Promise<unknown>,
 *   other: (name: string) => Promise<string> }} Tools
 */
export const fixtures = {
  /** 20,000 files of 4 KiB in 500 directories. */
  async tree(path, { sizes, workload }) {
    await workload(1, ['create', path, sizes.files, 40]);
  },

  /** A million empty files, 1,000 in a directory. */
  async many(path, { sizes, workload }) {
    await workload(1, ['empty', path, sizes.many, 1000]);
  },

  async big(path, { sizes, workload }) {
    await workload(1, ['write', join(path, 'big'), sizes.bigBytes]);
  },

  async empty() {},

  /** The tree as one archive, which is not itself in a layer. */
  async archive(path, { other }) {
    await run(['tar', 'cf', join(path, 'tree.tar'), '-C', await other('tree'), '.']);
  },

  /** Files spread over {@link layersInStack} layers, a directory of each name in all of them. */
  async stack(path, { sizes }) {
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
  async single(path, { sizes }) {
    for (const dir of ['a', 'b']) {
      mkdirSync(join(path, dir));
      for (let i = 0; i < Math.ceil(sizes.stacked / layersInStack / 2) * layersInStack; i++)
        writeFileSync(join(path, dir, `f${i}`), 'x');
    }
  },

  /** A git repository with a commit. */
  async repository(path, { sizes, workload }) {
    await workload(1, ['create', path, sizes.changedDirs * 40, 40]);
    const git = ['git', '-C', path, '-c', 'user.name=b', '-c', 'user.email=b@b', '-c', 'gc.auto=0'];
    await run([...git, 'init', '-q']);
    await run([...git, 'add', '.']);
    await run([...git, 'commit', '-qm', 'all']);
  },

  /** An npm project: its package.json and lock file. */
  async project(path, { sizes }) {
    writeProject(path, packages(sizes.packages));
  },

  /** npm's cache with the packages of that project, as if they had been downloaded. */
  async cache(path, { sizes }) {
    writeCache(path, packages(sizes.packages));
  },

  async sources(path, { sizes }) {
    writeSources(path, sizes.sources);
  },

  /** Statements for sqlite3, a transaction each. */
  async statements(path, { sizes }) {
    const inserts = Array.from({ length: sizes.inserts }, (_, i) => `INSERT INTO t VALUES(${i},'value ${i}');`);
    writeFileSync(join(path, 'inserts.sql'), `CREATE TABLE t(a INTEGER PRIMARY KEY, b TEXT);\n${inserts.join('\n')}\n`);
  },
};

async function run(command) {
  const { code, stderr } = await execute(command, { timeout: deadline, signal: cut });
  if (code !== 0) throw new Error(`${command.slice(0, 3).join(' ')}: ${stderr.trim().slice(-400)}`);
}

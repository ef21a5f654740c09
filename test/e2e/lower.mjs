// The lower layer of the real-input run: a copy of part of this machine's /usr, and among it the things that
// people work on: a git repository, an npm project, a C project, a database, files to append to.
import { cpSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execute } from '../support/mounts.mjs';

const fewestFiles = 10_000;
const bytesAtMost = { all: 450e6, one: 150e6 };
const project = fileURLToPath(new URL('project', import.meta.url));
const nodeModules = fileURLToPath(new URL('../../node_modules', import.meta.url));

/**
 * Fills `lower`, makes a bare repository at `origin`; answers how many files the layer holds.
 * @param {string} lower
 * @param {string} origin
 */
export async function makeLower(lower, origin) {
  mkdirSync(lower);
  const count = await copyRealTree(join(lower, 'usr'));
  makeCProject(join(lower, 'c'));
  cpSync(project, join(lower, 'npm'), { recursive: true });
  mkdirSync(join(lower, 'shared'));
  writeFileSync(join(lower, 'shared/log'), 'the first line\n');
  await shell(gitHistory, { ORIGIN: origin, LOWER: lower });
  await shell(
    'sqlite3 "$LOWER/old.db" "create table t(a integer primary key, b text); insert into t(b) select hex(randomblob(40)) from generate_series(1, 5000);"',
    { LOWER: lower },
  );
  return count;
}

/** @param {string} to */
async function copyRealTree(to) {
  mkdirSync(to);
  const taken = { files: 0, bytes: 0 };
  // From each of these until there are so many files; the last stands in for what a small machine lacks.
  const sources = [
    { from: directoriesIn('/usr/lib'), until: 4_000 },
    { from: directoriesIn('/usr/share'), until: 12_000 },
    { from: ['/usr/include', nodeModules], until: 12_000 },
  ];
  for (const { from, until } of sources.flatMap((source) => source.from.map((from) => ({ ...source, from })))) {
    if (taken.files >= until) continue;
    const { stdout } = await execute(['find', from, '-xdev', '-printf', '%s\n'], { timeout: 30_000 });
    const sizes = stdout.trimEnd().split('\n').map(Number);
    const bytes = sizes.reduce((sum, size) => sum + size, 0);
    if (sizes.length < 20 || bytes > bytesAtMost.one || taken.bytes + bytes > bytesAtMost.all) continue;
    await shell('mkdir -p "$TO" && cp -a --reflink=auto "$FROM" "$TO/"', { FROM: from, TO: join(to, from, '..') });
    taken.files += sizes.length;
    taken.bytes += bytes;
  }
  if (taken.files < fewestFiles) throw new Error(`only ${taken.files} files under /usr to try this on`);
  return taken.files;
}

/** @param {string} path */
function directoriesIn(path) {
  return readdirSync(path, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => join(path, entry.name))
    .sort();
}

/** A library of 40 sources, a program, a Makefile with automatic dependencies. @param {string} to */
function makeCProject(to) {
  mkdirSync(join(to, 'src'), { recursive: true });
  const numbers = Array.from({ length: 40 }, (_, index) => index + 1);
  writeFileSync(join(to, 'src/parts.h'), `#define SCALE 1\n${numbers.map((n) => `int part_${n}(int);`).join('\n')}\n`);
  for (const n of numbers)
    writeFileSync(
      join(to, `src/part_${n}.c`),
      `#include "parts.h"\nint part_${n}(int x) { return SCALE * (x + ${n}); }\n`,
    );
  const sum = numbers.map((n) => `part_${n}(0)`).join(' + ');
  writeFileSync(
    join(to, 'src/main.c'),
    `#include <stdio.h>\n#include "parts.h"\nint main(void) { printf("%d\\n", ${sum}); }\n`,
  );
  writeFileSync(
    join(to, 'Makefile'),
    `CFLAGS = -O1 -MMD
PARTS = $(patsubst src/%.c,build/%.o,$(wildcard src/part_*.c))
build/program: build/main.o build/libparts.a
\t$(CC) -o $@ $^
build/libparts.a: $(PARTS)
\t$(AR) rcs $@ $^
build/%.o: src/%.c | build
\t$(CC) $(CFLAGS) -c -o $@ $<
build:
\tmkdir -p $@
clean:
\trm -rf build
-include $(wildcard build/*.d)
`,
  );
}

// 60 commits on a main branch, four branches, a tag; and a clone of it in the lower layer.
const gitHistory = `
git init -q --bare -b main "$ORIGIN"
git clone -q "$ORIGIN" "$LOWER/repo" 2>/dev/null
cd "$LOWER/repo"
for i in $(seq 120); do mkdir -p "dir$((i % 12))"; seq $i $((i + 200)) > "dir$((i % 12))/file$i"; done
git add -A; git commit -qm 'the first files'
for i in $(seq 60); do
  echo "$i" >> "dir$((i % 12))/file$i"; echo "$i" > "new$i"
  if [ $((i % 15)) = 0 ]; then git mv "dir$((i % 12))/file$i" "moved$i"; fi
  git add -A; git commit -qm "commit $i"
  if [ $((i % 15)) = 0 ]; then git branch "branch$((i / 15))"; fi
done
git switch -q branch1; git rm -rq dir3; echo other > dir4/other; git add -A; git commit -qm 'on a branch'; git switch -q main
git tag v1; git push -q --all; git push -q --tags
`;

/**
 * @param {string} script
 * @param {NodeJS.ProcessEnv} variables
 */
async function shell(script, variables) {
  const env = { ...process.env, ...gitIdentity, ...variables };
  const done = await execute(['bash', '-euo', 'pipefail', '-c', script], { timeout: 60_000, env });
  if (done.code !== 0) throw new Error(`${script.trim().split('\n')[0]}: ${done.stderr.trim()}`);
}

/** Nothing of the machine's own git configuration has a say. */
export const gitIdentity = {
  GIT_CONFIG_GLOBAL: '/dev/null',
  GIT_CONFIG_NOSYSTEM: '1',
  GIT_AUTHOR_NAME: 'ovl',
  GIT_AUTHOR_EMAIL: 'ovl@example.org',
  GIT_COMMITTER_NAME: 'ovl',
  GIT_COMMITTER_EMAIL: 'ovl@example.org',
};

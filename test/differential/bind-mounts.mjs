// Carries out scenarios of volumes.test.ts with real bind mounts and node:fs. Run in a mount namespace of its own, as root:
// node bind-mounts.mjs DIRECTORY, with the scenarios as JSON on standard input, and what came of them on standard output.
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';

const [, , directory] = process.argv;

function run(command, ...args) {
  const { status, stderr } = spawnSync(command, args, { encoding: 'utf8', env: { ...process.env, LC_ALL: 'C' } });
  if (status === 0) return;
  const code = /busy/.test(stderr)
    ? 'EBUSY'
    : /not mounted|not a mount point/.test(stderr)
      ? 'EINVAL'
      : /does not exist|no mount point|not found|No such file/.test(stderr)
        ? 'ENOENT'
        : /[Nn]ot a directory|is not a (directory|block)/.test(stderr)
          ? 'ENOTDIR'
          : stderr;
  throw Object.assign(new Error(stderr), { code });
}

function attempt(action) {
  try {
    return { value: action() ?? null };
  } catch (error) {
    return { code: error.code ?? String(error) };
  }
}

function fill(path, tree) {
  for (const [name, content] of Object.entries(tree)) {
    if (typeof content === 'string') fs.writeFileSync(`${path}/${name}`, content);
    else {
      fs.mkdirSync(`${path}/${name}`);
      fill(`${path}/${name}`, content);
    }
  }
}

const { actions, seen } = await import('./volume-actions.mjs');

function perform({ trees, operations }, home) {
  fs.mkdirSync(home);
  for (const [name, tree] of Object.entries(trees)) {
    fs.mkdirSync(`${home}/${name}`);
    run('mount', '-t', 'tmpfs', '-o', 'mode=755', 'tmpfs', `${home}/${name}`);
    fill(`${home}/${name}`, tree);
  }
  const root = `${home}/base`;
  const open = new Map();
  const results = operations.map((operation) =>
    attempt(() => {
      const path = operation.path === undefined ? undefined : root + operation.path;
      if (operation.kind === 'mount') {
        for (const each of [path, home + '/' + operation.tree + operation.from]) fs.statSync(each);
        run('mount', '--bind', home + '/' + operation.tree + operation.from, path);
        if (operation.readOnly) run('mount', '-o', 'remount,bind,ro', path);
      } else if (operation.kind === 'unmount') {
        fs.statSync(path);
        run('umount', ...(operation.lazy ? ['-l'] : []), path);
      } else return actions(fs, root, open)[operation.kind](operation);
    }),
  );
  const trees2 = Object.fromEntries(Object.keys(trees).map((name) => [name, seen(fs, `${home}/${name}`, '')]));
  for (const fd of open.values()) fs.closeSync(fd);
  spawnSync('sh', ['-c', `tac /proc/self/mounts | cut -d' ' -f2 | grep "^${home}/" | xargs -r -n1 umount -l`]);
  return { results, trees: trees2 };
}

const scenarios = JSON.parse(fs.readFileSync(0, 'utf8'));
process.stdout.write(JSON.stringify(scenarios.map((scenario, i) => perform(scenario, `${directory}/${i}`))));

// podman with `mount_program` set to the installed `ovl`: the same images and containers as over the kernel's overlayfs,
// for root and for an ordinary user. Each run has namespaces of its own, which end with it and take everything along.
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, type TestContext, test } from 'vitest';
import { follow } from '../docs/page.js';
import { copyOfCommand, ovl } from '../e2e/command.mjs';
import { execute } from '../support/mounts.mjs';
import { withoutForeignMounts } from '../support/namespace.js';
import { requireOrSkip } from '../support/require.js';

const MINUTES = 60_000;
/** In namespaces of its own, all of whose processes end with the first one. */
const apart = [
  'unshare',
  '--mount',
  '--propagation',
  'private',
  '--pid',
  '--fork',
  '--kill-child',
  '--mount-proc',
  '--ipc',
];
const script = (name: string): string => new URL(name, import.meta.url).pathname;

let base: string;
beforeAll(async () => {
  base = mkdtempSync(join(tmpdir(), 'ovl-podman-'));
  chmodSync(base, 0o755);
  if (existsSync('/bin/busybox')) await makeRootfs();
});
afterAll(() => {
  rmSync(base, { recursive: true, force: true });
});

/** A small system: busybox, and files for the steps to change. */
async function makeRootfs(): Promise<void> {
  const done = await execute(
    [
      'bash',
      '-euc',
      `
      mkdir rootfs && cd rootfs
      mkdir -p bin dev etc lib proc root run srv sys tmp usr/share/doc/pkg usr/share/big var/lib
      cp /bin/busybox bin/busybox
      for name in $(bin/busybox --list); do [ -e bin/$name ] || ln -s busybox bin/$name; done
      echo root:x:0:0:root:/root:/bin/sh > etc/passwd; echo root:x:0: > etc/group
      for i in $(seq 20); do echo document $i > usr/share/doc/pkg/f$i; done
      head -c 3000000 /dev/zero | tr '\\0' x > usr/share/big/data
      for d in $(seq 5); do mkdir -p lib/tree/d$d; for f in $(seq 5); do echo $d $f > lib/tree/d$d/f$f; done; done
      chmod 1777 tmp; chmod -R u=rwX,go=rX usr lib etc
      tar --owner=0 --group=0 --numeric-owner -cf ../rootfs.tar .`,
    ],
    { timeout: MINUTES, cwd: base },
  );
  expect(done, done.stderr).toMatchObject({ code: 0 });
}

interface Setting {
  /** `mount_program`; undefined for the kernel's overlayfs. */
  program: string | undefined;
  uid: number;
}

/** What podman is told of the machine that these tests run on. */
const containersConf =
  '[containers]\ndefault_ulimits = []\nnetns = "none"\ncgroups = "enabled"\n' +
  '[engine]\nruntime = "runc"\ncgroup_manager = "cgroupfs"\nevents_logger = "none"\n';

/** An empty directory for everything that podman keeps, and the words that run a command with it. */
function podmanOf(uid: number): { state: string; by: string[] } {
  const state = mkdtempSync(join(base, 'state-'));
  chmodSync(state, 0o755);
  writeFileSync(join(state, 'containers.conf'), containersConf);
  const inside = ['sh', '-c', `${withoutForeignMounts}exec sh "$@"`, 'sh', script('inside.sh'), state, String(uid)];
  return { state, by: [...apart, ...inside] };
}

/** Runs the steps, and answers what they printed. */
async function steps({ program, uid }: Setting): Promise<string> {
  const { state, by } = podmanOf(uid);
  const programLine = program === undefined ? '' : `mount_program = "${program}"`;
  writeFileSync(
    join(state, 'storage.conf'),
    `[storage]\ndriver = "overlay"\ngraphroot = "${state}/graph"\nrunroot = "${state}/run"\n` +
      `rootless_storage_path = "${state}/graph"\n[storage.options.overlay]\n${programLine}\n`,
  );
  // Of an ordinary user's own ids, which are counted from 0 in his user namespace.
  const uidmap = uid === 0 ? '0:200000:65536' : '0:1:30000';
  const done = await execute([...by, 'bash', script('steps.sh'), join(base, 'rootfs.tar'), uidmap], {
    timeout: 2 * MINUTES,
    cwd: base,
  });
  expect(done, done.stderr).toMatchObject({ code: 0, timedOut: false });
  return done.stdout;
}

/** As `npm install -g` leaves it: a link to an executable file. */
async function installed(): Promise<string> {
  const link = join(base, 'bin/ovl');
  if (existsSync(link)) return link;
  const [, path] = await copyOfCommand(base);
  chmodSync(path as string, statSync(path as string).mode | 0o111);
  mkdirSync(join(base, 'bin'));
  symlinkSync(path as string, link);
  return link;
}

async function answers(...command: string[]): Promise<boolean> {
  return (await execute(command, { timeout: 20_000 })).code === 0;
}

async function requirePodman(ctx: TestContext): Promise<void> {
  requireOrSkip(ctx, process.getuid?.() === 0, 'root, for namespaces of its own');
  requireOrSkip(ctx, await answers('podman', '--version'), 'podman');
  requireOrSkip(ctx, await answers('runc', '--version'), 'runc');
  requireOrSkip(ctx, existsSync('/bin/busybox'), 'busybox-static');
  requireOrSkip(ctx, existsSync('/dev/fuse'), '/dev/fuse');
  requireOrSkip(ctx, existsSync(ovl[1]), 'the built command: `pnpm build`');
  requireOrSkip(ctx, existsSync('/usr/bin/newuidmap'), 'newuidmap (uidmap)');
}

describe.each([
  { who: 'root', uid: 0 },
  { who: 'an ordinary user', uid: 20_001 },
])('podman of $who', ({ uid }) => {
  test('import, build, run, exec, diff, commit, --uidmap, rm: as over the kernel', {
    timeout: 5 * MINUTES,
  }, async (ctx) => {
    await requirePodman(ctx);
    const printed = await steps({ program: await installed(), uid });
    expect(printed.slice(printed.indexOf('== left behind'))).toBe('== left behind\n\n');
    expect(printed).toContain('\nA /root/new\n');
    expect(printed).toBe(await steps({ program: undefined, uid }));
  });
});

test('docs/tutorials/containers.md', { timeout: 5 * MINUTES }, async (ctx) => {
  await requirePodman(ctx);
  await follow('docs/tutorials/containers.md', { by: () => [...podmanOf(0).by, 'bash'] });
});

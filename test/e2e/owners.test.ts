// Owners that users see and owners that layers store: the same steps over ovl and over fuse-overlayfs, whose options these
// are; then both views and the owners on disk are compared. Run by root in a mount namespace of its own, for the daemon's
// user to be allowed `allow_other`; the daemon is root's or an ordinary user's, the steps are root's and others'.
import { chmodSync, existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { execute } from '../support/mounts.mjs';
import { withoutForeignMounts } from '../support/namespace.js';
import { requireOrSkip } from '../support/require.js';
import { asNobody, copyOfCommand, ovl } from './command.mjs';

type User = 'root' | 'nobody';

let root: string;
beforeEach((ctx) => {
  requireOrSkip(ctx, process.getuid?.() === 0, 'root, for files of several owners');
  requireOrSkip(ctx, existsSync(ovl[1]), 'the built command: `pnpm build`');
  requireOrSkip(ctx, existsSync('/dev/fuse'), '/dev/fuse');
  root = mkdtempSync(join(tmpdir(), 'ovl-owners-'));
  chmodSync(root, 0o755);
});
afterEach(() => {
  if (root) rmSync(root, { recursive: true, force: true });
});

const steps = `
umask 022
chmod 755 .
mkdir -p lower/dir upper work merged
printf a > lower/a; printf b > lower/dir/b; printf exe > lower/exe; ln -s a lower/link; mkfifo lower/fifo; mknod lower/null c 1 3
chown 5:6 lower/a; chmod 640 lower/a; chown 70000:70000 lower/dir/b; chmod 4755 lower/exe; chown -h 5:5 lower/link
if [ -n "$*" ]; then chown -R 65534:65534 upper work merged lower; fi
echo user_allow_other > fuse.conf
mount --bind fuse.conf /etc/fuse.conf
"$@" $PROGRAM -o "lowerdir=lower,upperdir=upper,workdir=work,allow_other,$OPTIONS" merged
trap 'umount -l merged' EXIT
try() { "$@" 2> errors || echo "failed: $*"; }
by() { id=$1; shift; try setpriv --reuid "$id" --regid "$id" --clear-groups "$@"; }
view() { (cd merged; find . -printf '%P %y %m %U %G\\n' | sort); }
view
try touch merged/new; try chown 7:8 merged/new; try chmod 4711 merged/new
try mkdir -m 750 merged/newdir; try chown 9:9 merged/newdir
try sh -c 'printf x >> merged/a'; try chown 11:12 merged/a; try chmod 600 merged/a
try chmod 700 merged/dir
try ln -s t merged/newlink; try chown -h 3:3 merged/newlink
try mkfifo merged/p; try mknod merged/dev c 1 5; try chown 4:4 merged/dev merged/p
try chmod 1777 merged
by 200001 touch merged/byuser; by 200001 mkdir merged/byuserdir; by 1001 touch merged/other
try rm merged/exe
echo "== after"
view
umount merged
trap - EXIT
echo "== stored"
cd upper; find . ! -name '.wh.*' -printf '%P %y %m %U %G\\n' | sort
`;

/** What the steps print: the view before, the view after, what is stored. */
async function outcome(program: readonly string[], user: User, options: string): Promise<string[]> {
  const directory = mkdtempSync(join(root, 'scene-'));
  const daemonUser = user === 'nobody' ? asNobody : [];
  const done = await execute(
    ['unshare', '-m', '--propagation', 'private', 'sh', '-euc', `${withoutForeignMounts}${steps}`, 'sh', ...daemonUser],
    {
      timeout: 30_000,
      cwd: directory,
      env: { ...process.env, PROGRAM: program.join(' '), OPTIONS: options },
    },
  );
  expect(done, done.stderr).toMatchObject({ code: 0, timedOut: false });
  return done.stdout.split('\n');
}

const ours = async (user: User) => (user === 'nobody' ? copyOfCommand(root) : ovl);

describe.each<User>(['root', 'nobody'])('served by %s, as fuse-overlayfs does it', (user) => {
  const cases = [
    'squash_to_root',
    'squash_to_uid=7,squash_to_gid=8',
    'squash_to_root,squash_to_gid=3,uidmapping=0:10:10:10:1000:5',
    ...(user === 'root' ? ['uidmapping=:0:200000:65536,gidmapping=:0:200000:65536'] : []),
    ...(user === 'root' ? ['uidmapping=:0:0:10:10:200000:5,gidmapping=0:7:1:5:100:2'] : []),
  ];
  test.each(cases)('%s', async (options) => {
    const fuseOverlayfs = await outcome(['fuse-overlayfs'], user, options);
    expect(await outcome(await ours(user), user, options)).toEqual(fuseOverlayfs);
  });
});

/** As root's daemon would show it without any option, except for symbolic links, which stay the daemon's. */
test('xattr_permissions=2: an ordinary user’s daemon keeps what root does in it', async () => {
  const printed = await outcome(await ours('nobody'), 'nobody', 'xattr_permissions=2');
  const after = printed.slice(printed.indexOf('== after') + 1, printed.indexOf('== stored'));
  expect(after).toEqual([
    ' d 1777 0 0',
    'a f 600 11 12',
    'byuser f 644 200001 200001',
    'byuserdir d 755 200001 200001',
    'dev c 644 4 4',
    'dir d 700 65534 65534',
    'dir/b f 644 65534 65534',
    'fifo p 644 65534 65534',
    'link l 777 65534 65534',
    'new f 4711 7 8',
    'newdir d 750 9 9',
    'newlink l 777 65534 65534',
    'null c 644 65534 65534',
    'other f 644 1001 1001',
    'p p 644 4 4',
  ]);
  expect(printed.filter((line) => line.startsWith('failed'))).toEqual([]);
  const stored = printed.slice(printed.indexOf('== stored') + 1).filter((line) => line !== '');
  // All of it nobody's, nothing set-user-ID, devices as empty files; the one device is a whiteout.
  expect(stored.filter((line) => !/ [dfl] [0-7]?[0-7]{2}[0-7]? 65534 65534$/.test(line))).toEqual([
    'exe c 0 65534 65534',
  ]);
});

test('xattr_permissions=1 without the right to set it: one line that says so, and no mount', async () => {
  const [program, script] = await copyOfCommand(root);
  const scene = 'mkdir lower upper work merged; chown 65534:65534 . upper work merged';
  await execute(['sh', '-ec', `chmod 755 .; ${scene}`], { timeout: 10_000, cwd: root });
  const layers = 'lowerdir=lower,upperdir=upper,workdir=work,xattr_permissions=1';
  const command = [...asNobody, program as string, script as string, 'mount', '-o', layers, 'merged'];
  const done = await execute(command, { timeout: 20_000, cwd: root });
  expect(done).toMatchObject({ code: 1, stdout: '' });
  expect(done.stderr).toMatch(/^ovl: [^\n]*EPERM[^\n]*xattr_permissions=1 takes CAP_SYS_ADMIN[^\n]*\n$/);
});

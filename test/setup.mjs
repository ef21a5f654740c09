// Brings what the tests need of the machine: installs it on Debian as root, names it elsewhere.
import { accessSync, chmodSync, constants, existsSync, statSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { run } from './process.mjs';

const needed = [
  { package: 'fuse3', command: 'fusermount3' },
  { package: 'fuse-overlayfs', command: 'fuse-overlayfs' },
  { package: 'chromium', command: process.env.CHROMIUM ?? 'chromium' },
  { package: 'attr', command: 'setfattr' },
  { package: 'acl', command: 'setfacl' },
  { package: 'sqlite3', command: 'sqlite3' },
  { package: 'git', command: 'git' },
  { package: 'make', command: 'make' },
  { package: 'gcc', command: 'gcc' },
  { package: 'libc6-dev', file: '/usr/include/stdio.h' },
  { package: 'rsync', command: 'rsync' },
  { package: 'zip', command: 'zip' },
  { package: 'redis-server', command: 'redis-server' },
  { package: 'podman', command: 'podman' },
  { package: 'runc', command: 'runc' },
  { package: 'uidmap', command: 'newuidmap' },
  { package: 'busybox-static', file: '/bin/busybox' },
];

/** Installs what is missing where it can; answers what is missing still. */
export async function setUpSystem() {
  const isRoot = process.getuid?.() === 0;
  if (missing().length > 0 && isRoot && existsSync('/etc/debian_version')) {
    const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
    const packages = missing().map((item) => item.package);
    console.log(`installing ${packages.join(', ')}`);
    await run('apt-get', ['update', '-qq'], { env });
    await run('apt-get', ['install', '-y', '-qq', '--no-install-recommends', ...packages], { env });
  }
  // Mounts without root go through fusermount3, which opens /dev/fuse as the user.
  if (isRoot && existsSync('/dev/fuse') && (statSync('/dev/fuse').mode & 0o666) !== 0o666)
    chmodSync('/dev/fuse', 0o666);
  const names = missing().map((item) => item.package);
  if (process.platform === 'linux' && !existsSync('/dev/fuse')) names.push('/dev/fuse');
  return names;
}

function missing() {
  return needed.filter(({ command, file }) => (file ? !existsSync(file) : !isCommand(command)));
}

function isCommand(name) {
  if (name.includes('/')) return isExecutable(name);
  const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/sbin'];
  return folders.some((folder) => isExecutable(join(folder, name)));
}

function isExecutable(path) {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

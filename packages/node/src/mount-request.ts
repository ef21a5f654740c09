/**
 * From options to a request: every path made absolute and free of symbolic links, everything checked that can be checked
 * before a daemon has to do with it. Each complaint is one line that says what, where, and what to do. Without koffi, which
 * takes longer to load than all of this.
 */
import {
  closeSync,
  constants,
  existsSync,
  mkdirSync,
  openSync,
  realpathSync,
  rmdirSync,
  rmSync,
  statSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join, relative, resolve, sep } from 'node:path';
import { ExitCode, MountError } from './mount-error.js';
import { type Mount, isOvl, mountAt, mountIdOf, readMounts } from './mountinfo.js';
import type { LabelName, MountOptions, MountSettings, TransportName } from './options.js';
import { inInitialUserNamespace, maySysAdmin, openFileLimit } from './processes.js';
import type { AttachRequest, MountFlag } from './transport.js';

/** What a daemon needs to know; passes between processes as JSON. */
export interface MountRequest {
  transport: TransportName;
  attach: AttachRequest;
  layers: LayerRequest;
  /** Whether to measure the time that requests take. */
  stats: boolean;
  /** The directory for a temporary upper, to be made by the daemon in it. */
  tmp: string | undefined;
}

/** What the serving thread opens. */
export interface LayerRequest {
  mountpoint: string;
  lower: string[];
  /** How many of the last ones are for data only. */
  dataOnly: number;
  /** Lowers (by index) that reach the mountpoint, so that they must not look through it. */
  covered: number[];
  upper: { upper: string; work: string } | undefined;
  /** Whether upper and work directory are removed after the mount. */
  vanishes: boolean;
  /** The namespace of overlay attributes; undefined for what the upper supports best. */
  userxattr: boolean | undefined;
  owners: MountSettings['owners'];
  /** Lowers (by index) on mounts that show the mapped owners already. */
  idmapped: number[];
  xattrPermissions: MountSettings['xattrPermissions'];
  redirectDir: Exclude<MountSettings['redirectDir'], 'off'>;
  metacopy: MountSettings['metacopy'];
  verity: MountSettings['verity'];
  index: MountSettings['index'];
  uuid: MountSettings['uuid'];
  fsync: MountSettings['fsync'];
  timeout: number | undefined;
  lazyCopyUp: MountSettings['lazyCopyUp'];
  passthrough: MountSettings['passthrough'];
  noOpen: MountSettings['noOpen'];
  nfsExport: boolean;
  staticNlink: boolean;
  acl: MountSettings['acl'];
  xattrs: MountSettings['xattrs'];
  /** Where only the owner and root are served: the owner. */
  owner: number | undefined;
}

/** A checked request, and the way back from what checking it made. */
export interface PreparedMount {
  request: MountRequest;
  /** Removes the work directory if it was made for this mount. */
  undo(): void;
}

/** Throws MountError. */
export function prepareMount(options: MountOptions): PreparedMount {
  const mounts = readMounts();
  if (options.lower.length === 0) {
    throw new MountError(ExitCode.usage, 'no lower directory: pass -o lowerdir=DIR[:DIR…] or --lower DIR');
  }
  if (options.tmp === true && (options.upper !== undefined || options.work !== undefined)) {
    throw new MountError(ExitCode.usage, 'a temporary upper and a named one exclude each other: drop one of them');
  }
  if (options.work !== undefined && options.upper === undefined) {
    throw new MountError(ExitCode.usage, 'a work directory needs an upper directory: pass upperdir too, or neither');
  }
  if (options.noOpen === true) checkOpens(options);
  checkOpenFiles(options.lower.length + (options.dataOnly?.length ?? 0));
  const mountpoint = findMountpoint(options.mountpoint, mounts);
  const dataOnly = options.dataOnly ?? [];
  const lower = [...options.lower, ...dataOnly].map((path) => findDirectory('lower directory', path, mounts));
  const tmp = options.tmp === true ? findDirectory('temporary directory', tmpdir(), mounts) : undefined;
  const upper = options.upper === undefined ? undefined : findDirectory('upper directory', options.upper, mounts);
  for (const writable of [upper, tmp]) {
    if (writable !== undefined) for (const layer of lower) checkApart(writable, layer);
  }
  if (upper !== undefined) checkOutside(mountpoint, upper);
  let made: string | undefined;
  let work: Directory | undefined;
  if (upper !== undefined) {
    made = options.work === undefined ? makeWorkDirectory(upper.path) : undefined;
    try {
      work = findDirectory('work directory', options.work ?? workBeside(upper.path), mounts);
      checkWork(upper, work, lower);
      checkOutside(mountpoint, work);
    } catch (error) {
      if (made !== undefined) rmdirSync(made);
      throw error;
    }
  }
  const readOnly = options.readOnly === true || (upper === undefined && tmp === undefined);
  const transport = options.transport ?? (process.platform === 'linux' ? 'direct' : 'libfuse');
  const request: MountRequest = {
    transport,
    attach: {
      mountpoint: mountpoint.path,
      fsname: options.fsname ?? 'ovl',
      subtype: options.subtype ?? 'ovl',
      flags: mountFlags(options, readOnly),
      allow: (options.allow ?? defaultAllow(transport, readOnly)) === 'owner' ? 'owner' : 'other',
      labels: checkLabels(options.labels ?? {}),
    },
    layers: {
      mountpoint: mountpoint.path,
      lower: lower.map(({ path }) => path),
      dataOnly: dataOnly.length,
      covered: lower.flatMap((layer, index) =>
        mountpoint.path !== layer.path && contains(layer, mountpoint) ? [index] : [],
      ),
      upper: upper === undefined || work === undefined ? undefined : { upper: upper.path, work: work.path },
      vanishes: tmp !== undefined,
      userxattr: options.userxattr ?? (readOnly && !readsTrusted() ? true : undefined),
      owners: options.owners,
      idmapped: lower.flatMap(({ idmapped }, index) => (idmapped ? [index] : [])),
      xattrPermissions: options.xattrPermissions,
      redirectDir:
        options.redirectDir !== 'off' ? options.redirectDir : options.userxattr === true ? 'nofollow' : 'follow',
      metacopy: options.metacopy,
      verity: options.verity,
      index: options.index,
      uuid: options.uuid,
      fsync: options.fsync,
      timeout: options.timeout,
      lazyCopyUp: options.lazyCopyUp,
      passthrough: options.passthrough,
      noOpen: options.noOpen,
      nfsExport: options.nfsExport === true,
      staticNlink: options.staticNlink === true,
      // The kernel would obey the ids in an ACL as they are stored.
      acl: options.xattrs === 'off' || options.owners !== undefined ? 'off' : options.acl,
      xattrs: options.xattrs,
      owner: options.allow === 'root' ? (process.geteuid?.() ?? 0) : undefined,
    },
    stats: options.stats === true,
    tmp: tmp?.path,
  };
  return {
    request,
    undo: () => {
      if (made !== undefined) rmSync(made, { recursive: true, force: true });
    },
  };
}

/** What needs to be asked at every open. */
function checkOpens({ timeout, allow }: MountOptions): void {
  const other = timeout !== undefined ? 'timeout' : allow === 'root' ? 'allow_root' : undefined;
  if (other === undefined) return;
  throw new MountError(ExitCode.usage, `no_open and ${other} exclude each other: drop one of them`);
}

/** Open files besides the roots of layers: directories in use, the daemon's own. Those that users open come on top. */
const OTHER_OPEN_FILES = 128;

function checkOpenFiles(layers: number): void {
  const needed = layers + OTHER_OPEN_FILES;
  const limit = openFileLimit();
  if (needed <= limit || layers < OTHER_OPEN_FILES) return; // a few layers are not what exhausts them
  throw new MountError(
    ExitCode.failed,
    `${layers} layers need ${needed} open files, and the limit is ${limit}: raise it (ulimit -n ${needed})`,
  );
}

/** A directory that was named, and where it lies. */
interface Directory {
  what: string;
  path: string;
  device: number;
  mountId: number;
  /** Its path in its file system, whatever is mounted where; undefined if the mount table does not tell. */
  inner: string | undefined;
  idmapped: boolean;
}

function findDirectory(what: string, path: string, mounts: readonly Mount[]): Directory {
  let real: string;
  try {
    real = realpathSync(resolve(path));
    const stat = statSync(real);
    if (!stat.isDirectory()) throw new MountError(ExitCode.directory, `${what} '${path}' is not a directory`);
    return { what, path: real, device: stat.dev, ...placeOf(real, mounts) };
  } catch (error) {
    throw error instanceof MountError ? error : unreachable(what, path, error);
  }
}

function unreachable(what: string, path: string, error: unknown): MountError {
  const { code } = error as NodeJS.ErrnoException;
  const cause = { cause: error };
  switch (code) {
    case 'ENOENT':
      return new MountError(ExitCode.directory, `${what} '${path}' does not exist`, cause);
    case 'ENOTDIR':
      return new MountError(ExitCode.directory, `${what} '${path}' is not a directory`, cause);
    case 'ENOTCONN':
      return new MountError(
        ExitCode.busy,
        `${what} '${path}' is a dead FUSE mount: clear it with fusermount3 -uz or umount -l`,
        cause,
      );
    default:
      return new MountError(
        ExitCode.directory,
        `${what} '${path}' cannot be reached (${code ?? String(error)})`,
        cause,
      );
  }
}

/** Node has no name for it; the same number on all its architectures. */
const O_PATH = 0o10000000;

function placeOf(path: string, mounts: readonly Mount[]): Pick<Directory, 'mountId' | 'inner' | 'idmapped'> {
  const fd = openSync(path, O_PATH | constants.O_DIRECTORY);
  try {
    const mountId = mountIdOf(fd);
    const mount = mounts.find(({ id }) => id === mountId);
    const inner = mount === undefined ? undefined : join(mount.root, relative(mount.mountpoint, path));
    return { mountId, inner, idmapped: mount?.idmapped === true };
  } finally {
    closeSync(fd);
  }
}

function isWithin(path: string, ancestor: string): boolean {
  return path === ancestor || path.startsWith(ancestor.endsWith(sep) ? ancestor : ancestor + sep);
}

/** Whether `outer` is or contains `inner`: by their paths, or in their file system, where a bind mount hides it. */
function contains(outer: Directory, inner: Directory): boolean {
  if (isWithin(inner.path, outer.path)) return true;
  if (outer.device !== inner.device || outer.inner === undefined || inner.inner === undefined) return false;
  return isWithin(inner.inner, outer.inner);
}

/** A change of the writable directory must not show in the other as if it had always been there. */
function checkApart(writable: Directory, layer: Directory): void {
  if (contains(layer, writable)) {
    const where = writable.path === layer.path ? 'is the same as' : 'lies inside';
    throw overlap(writable, where, layer);
  }
  if (contains(writable, layer) && writable.what !== 'temporary directory')
    throw overlap(layer, 'lies inside', writable);
}

function overlap(inner: Directory, where: string, outer: Directory): MountError {
  return new MountError(
    ExitCode.directory,
    `${inner.what} '${inner.path}' ${where} ${outer.what} '${outer.path}': choose directories apart from each other`,
  );
}

function checkWork(upper: Directory, work: Directory, lower: readonly Directory[]): void {
  if (contains(upper, work)) throw overlap(work, work.path === upper.path ? 'is the same as' : 'lies inside', upper);
  if (contains(work, upper)) throw overlap(upper, 'lies inside', work);
  for (const layer of lower) checkApart(work, layer);
  if (upper.device === work.device && upper.mountId === work.mountId) return;
  const what = upper.device === work.device ? 'mounts' : 'file systems';
  throw new MountError(
    ExitCode.directory,
    `upper directory '${upper.path}' and work directory '${work.path}' are on different ${what}: put them on the same one`,
  );
}

/** On top of the upper is possible, since it is held open; inside, the upper would have to step through the mount. */
function checkOutside(mountpoint: Directory, writable: Directory): void {
  if (mountpoint.path === writable.path || !contains(writable, mountpoint)) return;
  throw new MountError(
    ExitCode.directory,
    `mountpoint '${mountpoint.path}' lies inside ${writable.what} '${writable.path}': choose one outside of it`,
  );
}

/** Where a mount keeps its work directory when none is named. */
export function workBeside(upper: string): string {
  return join(dirname(upper), `.${basename(upper)}.work`);
}

/** Returns its path if it was not there before. */
function makeWorkDirectory(upper: string): string | undefined {
  const path = workBeside(upper);
  try {
    mkdirSync(path, 0o700);
    return path;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST') return undefined;
    const advice = 'name a work directory on the same file system (workdir=)';
    throw new MountError(ExitCode.directory, `cannot make work directory '${path}' (${code}): ${advice}`, {
      cause: error,
    });
  }
}

function findMountpoint(path: string, mounts: readonly Mount[]): Directory {
  if (path === '') throw new MountError(ExitCode.usage, 'no mountpoint: name a directory to mount on');
  // Before anything looks at it: a mount of ours may be about to end, and any other server may hang.
  const occupied = mountAt(mounts, resolve(path));
  if (occupied !== undefined && isOvl(occupied)) throw occupiedBy(path);
  const mountpoint = findDirectory('mountpoint', path, mounts);
  const there = mountAt(mounts, mountpoint.path);
  if (there !== undefined && isOvl(there)) throw occupiedBy(path);
  return mountpoint;
}

/** Also said of a dead one: the way out is the same. */
function occupiedBy(path: string): MountError {
  return new MountError(
    ExitCode.busy,
    `mountpoint '${path}' is an ovl mount already: unmount it first (ovl umount ${path})`,
  );
}

/** The kernel takes them only where SELinux is active; elsewhere it says no more than EINVAL. */
function checkLabels(labels: NonNullable<MountSettings['labels']>): AttachRequest['labels'] {
  const given = Object.entries(labels) as [LabelName, string][];
  for (const [name, value] of given) {
    if (!existsSync('/sys/fs/selinux/enforce')) {
      const advice = 'SELinux is not active on this system, so leave it out';
      throw new MountError(ExitCode.usage, `option '${name}' cannot work: ${advice}`);
    }
    if (value.includes('"')) throw new MountError(ExitCode.usage, `option '${name}' has a quotation mark in its value`);
  }
  return given;
}

/** Through libfuse, what others make would be the mounter's; see libfuse/mount-options.ts. */
function defaultAllow(transport: TransportName, readOnly: boolean): 'owner' | 'other' {
  return process.geteuid?.() === 0 && (transport === 'direct' || readOnly) ? 'other' : 'owner';
}

function mountFlags(options: MountOptions, readOnly: boolean): MountFlag[] {
  const privileged = process.geteuid?.() === 0 || maySysAdmin();
  const flags: MountFlag[] = [];
  if (readOnly) flags.push('ro');
  if (!(options.suid ?? privileged)) flags.push('nosuid');
  if (!(options.dev ?? privileged)) flags.push('nodev');
  if (options.exec === false) flags.push('noexec');
  if (options.sync === true) flags.push('sync');
  if (options.dirsync === true) flags.push('dirsync');
  if (options.nosymfollow === true) flags.push('nosymfollow');
  if (options.atime !== undefined) flags.push(options.atime);
  if (options.nodiratime === true) flags.push('nodiratime');
  return flags;
}

/** Attributes under "trusted." are seen only by an administrator of the whole machine, not of a user namespace. */
function readsTrusted(): boolean {
  return maySysAdmin() && inInitialUserNamespace();
}

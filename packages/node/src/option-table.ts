/**
 * Every option of a mount: what it sets, and one line about it. The help of `ovl mount` is written from here and
 * docs/options.md is checked against it. What other overlays take and we refuse stands here too, with the reason.
 */
import type { MountSettings } from './options.js';
import type { OptionValue } from './option-value.js';

/** One option of `ovl mount -o`. */
export interface MountOption {
  /** What stands for the value in the help; absent for a word alone. */
  value?: string;
  help: string;
  apply(settings: MountSettings, value: OptionValue): void;
}

/** Options that belong together, by name. */
export interface OptionGroup {
  title: string;
  options: Readonly<Record<string, MountOption>>;
}

type Apply = MountOption['apply'];

const withValue = (value: string, help: string, apply: Apply): MountOption => ({ value, help, apply });

/** A word alone that sets members. */
function word(help: string, change: Partial<MountSettings>): MountOption {
  return {
    help,
    apply: (settings, value) => {
      value.none();
      Object.assign(settings, change);
    },
  };
}

/** A word whose effect is there anyway, or that is for somebody else. */
const idle = (help: string): MountOption => word(help, {});

/** The same with a value, or with or without one. */
const idleValue = (value: string, help: string, check: (value: OptionValue) => unknown): MountOption =>
  withValue(value, help, (_, given) => void check(given));

const label = (name: 'context' | 'fscontext' | 'defcontext' | 'rootcontext', help: string): MountOption =>
  withValue('LABEL', help, (settings, value) => {
    settings.labels = { ...settings.labels, [name]: value.text() };
  });

const layers: OptionGroup['options'] = {
  lowerdir: withValue(
    'DIR[:DIR…]',
    'the read-only layers, topmost first, data-only ones after `::`; `\\:`, `\\,` and `\\\\` are literal in a path',
    (settings, value) => {
      const { lower, dataOnly } = value.layers();
      settings.lower = lower;
      delete settings.dataOnly;
      if (dataOnly.length > 0) settings.dataOnly = dataOnly;
    },
  ),
  'lowerdir+': withValue(
    'DIR',
    'one more read-only layer, below those before it; colons are literal',
    (settings, value) => {
      value.notAfter(settings.dataOnly);
      settings.lower.push(value.text());
    },
  ),
  'datadir+': withValue(
    'DIR',
    'one more data-only layer: its names stay out of sight, metacopies lead into it; colons are literal',
    (settings, value) => {
      (settings.dataOnly ??= []).push(value.text());
    },
  ),
  upperdir: withValue(
    'DIR',
    'the layer that takes all changes; without one the mount is read-only',
    (settings, value) => {
      settings.upper = value.text();
    },
  ),
  workdir: withValue('DIR', "scratch on the upper's file system (default: beside the upper)", (settings, value) => {
    settings.work = value.text();
  }),
};

const format: OptionGroup['options'] = {
  redirect_dir: withValue(
    'on|off|follow|nofollow',
    'how a lower directory is renamed, and whether recorded renames are followed',
    (settings, value) => {
      settings.redirectDir = value.oneOf('on', 'off', 'follow', 'nofollow');
    },
  ),
  metacopy: withValue('on|off', 'whether a change of attributes leaves the data below', (settings, value) => {
    settings.metacopy = value.oneOf('on', 'off');
  }),
  verity: withValue(
    'off|on|require',
    'whether data below is checked against fs-verity digests, or must have one',
    (settings, value) => {
      settings.verity = value.oneOf('off', 'on', 'require');
    },
  ),
  userxattr: word('overlay attributes under "user.overlay." instead of "trusted.overlay."', { userxattr: true }),
  index: withValue(
    'on|off',
    'lower files with several names stay one file when copied up (default: where the layers allow it)',
    (settings, value) => {
      settings.index = value.oneOf('on', 'off');
    },
  ),
  nfs_export: withValue(
    'on|off',
    'file handles (an NFS server has them) hold until the unmount; default off',
    (settings, value) => {
      settings.nfsExport = value.oneOf('on', 'off') === 'on';
    },
  ),
  xino: idleValue('off|auto|on', 'inode numbers are unique whatever it says', (value) =>
    value.oneOf('off', 'auto', 'on'),
  ),
  uuid: withValue(
    'null|off|auto|on',
    'off: recorded file handles do without the UUID of their file system; auto, on: the upper gets one of its own',
    (settings, value) => {
      settings.uuid = value.oneOf('null', 'off', 'auto', 'on');
    },
  ),
  static_nlink: word('directories have a link count of 1', { staticNlink: true }),
};

const durability: OptionGroup['options'] = {
  fsync: withValue(
    'auto|strict|volatile',
    'what a copy-up makes durable: its data; all of it, directories too; nothing, not even on fsync',
    (settings, value) => {
      const mode = value.oneOf('auto', 'strict', 'volatile', '0', '1'); // the digits are fuse-overlayfs'
      settings.fsync = mode === '0' ? 'volatile' : mode === '1' ? 'auto' : mode;
    },
  ),
  volatile: word('the same as fsync=volatile', { fsync: 'volatile' }),
};

const access: OptionGroup['options'] = {
  allow_other: word('everybody may use the mount (the default of root)', { allow: 'other' }),
  allow_root: word('besides the owner, root may use the mount', { allow: 'root' }),
  default_permissions: idle('modes and owners are obeyed: always so'),
  noacl: word('no POSIX ACLs: neither shown nor stored', { acl: 'off' }),
  noxattrs: withValue('0|1', '1: no extended attributes on the mount', (settings, value) => {
    if (value.oneOf('0', '1') === '1') settings.xattrs = 'off';
  }),
  context: label('context', 'SELinux label of everything on the mount'),
  fscontext: label('fscontext', 'SELinux label of the file system itself'),
  defcontext: label('defcontext', 'SELinux label of what has none'),
  rootcontext: label('rootcontext', 'SELinux label of the root directory'),
};

/** Adds to what was said about owners before. */
function addOwners(settings: MountSettings, more: NonNullable<MountSettings['owners']>): void {
  const squash = { ...settings.owners?.squash, ...more.squash };
  settings.owners = { ...settings.owners, ...more, ...(Object.keys(squash).length > 0 ? { squash } : {}) };
}

const owners: OptionGroup['options'] = {
  uidmapping: withValue(
    'STORED:SHOWN:COUNT[:…]',
    'users, as the layers store them and as they are shown; others are "nobody"',
    (settings, value) => addOwners(settings, { uid: value.ranges() }),
  ),
  gidmapping: withValue('STORED:SHOWN:COUNT[:…]', 'the same for groups', (settings, value) =>
    addOwners(settings, { gid: value.ranges() }),
  ),
  squash_to_root: {
    help: "everything is shown as root's; an owner that may not be stored is no error",
    apply: (settings, value) => {
      value.none();
      addOwners(settings, { squash: { uid: 0, gid: 0, ...settings.owners?.squash } }); // an id that is named goes first
    },
  },
  squash_to_uid: withValue('UID', "everything is shown as this user's", (settings, value) =>
    addOwners(settings, { squash: { uid: value.id() } }),
  ),
  squash_to_gid: withValue('GID', "everything is shown as this group's", (settings, value) =>
    addOwners(settings, { squash: { gid: value.id() } }),
  ),
  xattr_permissions: withValue(
    '0|1|2',
    "owners, modes and devices go into an attribute of the upper's files: security.fuseoverlayfs.override_stat (1), user.containers.override_stat (2)",
    (settings, value) => {
      const kind = Number(value.oneOf('0', '1', '2'));
      if (kind === 1 || kind === 2) settings.xattrPermissions = kind;
      else delete settings.xattrPermissions;
    },
  ),
};

const behaviour: OptionGroup['options'] = {
  lazy_copy_up: withValue(
    'data|all|off',
    'what is copied up after the answer: large files (default), also files whose attributes change, or nothing',
    (settings, value) => {
      const what = value.oneOf('data', 'all', 'off');
      if (what === 'data') delete settings.lazyCopyUp;
      else settings.lazyCopyUp = what;
    },
  ),
  no_open: withValue(
    'on|off',
    'files are opened and closed without a request (`no_open` is `no_open=on`); default on where there is no passthrough',
    (settings, value) => {
      settings.noOpen = value.optional() === undefined || value.oneOf('on', 'off') === 'on';
    },
  ),
  passthrough: withValue(
    'on|off|all',
    'as root, the kernel reads and writes files of the upper (and of a read-only mount) by itself; default on; `all`: and reads large lower files',
    (settings, value) => {
      const which = value.oneOf('on', 'off', 'all');
      if (which === 'on') delete settings.passthrough;
      else settings.passthrough = which;
    },
  ),
  timeout: withValue(
    'SECONDS',
    'how old an answer may be when layers change from outside (default: they do not)',
    (settings, value) => {
      settings.timeout = value.seconds();
    },
  ),
  transport: withValue(
    'direct|libfuse',
    'how the mount reaches the kernel: by /dev/fuse, or through the package fuse-native',
    (settings, value) => {
      const name = value.oneOf('direct', 'libfuse', 'fuse-native');
      settings.transport = name === 'fuse-native' ? 'libfuse' : name;
    },
  ),
  own_daemon: word('no other mounts in the process that serves this one', { ownDaemon: true }),
  debug: word('serve in the foreground and log what goes wrong, as -d', { foreground: true, log: 'stderr' }),
};

const mountFlags: OptionGroup['options'] = {
  ro: word('read-only', { readOnly: true }),
  rw: word('writable, where there is an upper', { readOnly: false }),
  suid: word("set-id bits work (root's default; never for others)", { suid: true }),
  nosuid: word('set-id bits have no effect', { suid: false }),
  dev: word("device files work (root's default; never for others)", { dev: true }),
  nodev: word('device files cannot be opened', { dev: false }),
  exec: word('programs may be run', { exec: true }),
  noexec: word('programs may not be run', { exec: false }),
  nosymfollow: word('symbolic links are not followed (root only)', { nosymfollow: true }),
  sync: word('mounted synchronous', { sync: true }),
  async: word('not synchronous', { sync: false }),
  dirsync: word('mounted with synchronous directories', { dirsync: true }),
  atime: word('the same as relatime', { atime: 'relatime' }),
  noatime: word('access times stay', { atime: 'noatime' }),
  relatime: word('access times move with changes', { atime: 'relatime' }),
  norelatime: idle('as if not given'),
  strictatime: word('access times move with every access', { atime: 'strictatime' }),
  nostrictatime: idle('as if not given'),
  diratime: word('directories have access times', { nodiratime: false }),
  nodiratime: word('access times of directories stay', { nodiratime: true }),
  lazytime: idle('times are kept by the upper: its mount decides'),
  nolazytime: idle('as if not given'),
  fsname: withValue('NAME', 'the source in the mount table (default: ovl)', (settings, value) => {
    settings.fsname = value.text();
  }),
  subtype: withValue('NAME', 'the type in the mount table is fuse.NAME (default: ovl)', (settings, value) => {
    settings.subtype = value.text();
  }),
};

/** What mount(8) and fstab(5) say to themselves. Names that begin with `x-` or `X-` are too. */
const forMount: OptionGroup['options'] = Object.fromEntries(
  ['defaults', 'auto', 'noauto', 'nofail', 'users', 'nouser', 'owner', 'group', 'silent', 'loud']
    .concat('mand', 'nomand', 'iversion', 'noiversion', '_netdev')
    .map((name) => [name, idle('')]),
);

const anything = (value: OptionValue): string | undefined => value.optional();
const forMountWithValue: OptionGroup['options'] = Object.fromEntries(
  ['user', 'comment', 'uhelper', 'helper'].map((name) => [name, idleValue('', '', anything)]),
);

/** What fuse-overlayfs and libfuse take to go faster, or to do what is done here anyway. */
const tuning: OptionGroup['options'] = {
  ...Object.fromEntries(
    ['auto_unmount', 'nonempty', 'clone_fd', 'kernel_cache', 'auto_cache', 'big_writes', 'async_read']
      .concat('atomic_o_trunc', 'splice_read', 'splice_write', 'splice_move')
      .map((name) => [name, idle('')]),
  ),
  ...Object.fromEntries(
    ['max_idle_threads', 'max_threads', 'threaded', 'fast_ino', 'writeback', 'max_read', 'max_write', 'max_background']
      .concat('congestion_threshold', 'max_readahead')
      .map((name) => [name, idleValue('N', '', anything)]),
  ),
};

/** Every option that `ovl mount -o` takes, in the order of the help. */
export const optionGroups: readonly OptionGroup[] = [
  { title: 'Layers', options: layers },
  { title: 'Format of the upper', options: format },
  { title: 'Durability', options: durability },
  { title: 'Access', options: access },
  { title: 'Owners', options: owners },
  { title: 'Behaviour', options: behaviour },
  { title: 'Mount flags', options: mountFlags },
  { title: 'For mount(8) and fstab, ignored here', options: { ...forMount, ...forMountWithValue } },
  { title: 'Of fuse-overlayfs and libfuse, without effect here', options: tuning },
];

/** Options that others have and that we refuse, each with the reason. */
export const refusedOptions: Readonly<Record<string, string>> = {
  remount:
    "a mount's layers do not change: unmount and mount again; `mount -i -o remount,ro MNT` changes its flags alone",
  bind: 'this mounts layers, not one directory elsewhere: use mount --bind',
  plugins: 'there are no plugins here; a layer that is not a directory is mounted first, or written as a Layer',
  ino32_t: 'inode numbers have 64 bits, and shorter ones would not be unique',
  blkdev: 'a layer is a directory, not a device: mount the device first',
  blksize: 'a layer is a directory, not a device: mount the device first',
  fd: 'the program sets it itself',
  rootmode: 'the program sets it itself',
  user_id: 'the program sets it itself',
  group_id: 'the program sets it itself',
  entry_timeout: 'use timeout=SECONDS',
  attr_timeout: 'use timeout=SECONDS',
  negative_timeout: 'use timeout=SECONDS',
  direct_io: 'file data is cached; timeout=SECONDS bounds how old it may be',
  umask: 'modes are those of the layers',
  uid: 'owners are those of the layers',
  gid: 'owners are those of the layers',
  override_creds: 'layers are read with the rights of the daemon',
  nooverride_creds: 'layers are read with the rights of the daemon',
};

/**
 * Mount options: what a mount can be told, and the reading of `-o a=b,c,…` as the kernel's overlayfs, fuse-overlayfs and
 * `mount` write it. An option that we do not know, or know and cannot honour, is refused by its name: a mount that
 * silently ignored one would not be what was asked for.
 */
import { ExitCode, MountError } from './mount-error.js';

/** How the mount reaches the kernel. */
export type TransportName = 'direct';

/** What an option string can say. */
export interface MountSettings {
  /** Read-only layers, topmost first. */
  lower: string[];
  /** The writable layer. Without one the mount is read-only. */
  upper?: string;
  /** An empty directory on the upper's file system. Chosen beside the upper when left out. */
  work?: string;
  readOnly?: boolean;
  /** Who may use the mount. Default: "other" for root's mounts, and "owner" for everyone else's. */
  allow?: 'owner' | 'other';
  /** Seconds for which the kernel may keep names and attributes. Default: without end. */
  timeout?: number;
  /** Overlay attributes under "user.overlay." instead of "trusted.overlay.". */
  userxattr?: boolean;
  redirectDir?: 'on' | 'follow' | 'nofollow';
  /** Nothing is made durable, not even by `fsync`. */
  volatile?: boolean;
  /** The source in the mount table. Default "ovl". */
  fsname?: string;
  /** The file system's type is "fuse." and this. Default "ovl". */
  subtype?: string;
  /** Default: on for root's mounts; always off for everyone else's. */
  suid?: boolean;
  /** Default: on for root's mounts; always off for everyone else's. */
  dev?: boolean;
  exec?: boolean;
  atime?: 'noatime' | 'relatime' | 'strictatime';
  nodiratime?: boolean;
  sync?: boolean;
  transport?: TransportName;
}

/** A whole mount. */
export interface MountOptions extends MountSettings {
  mountpoint: string;
  /** Upper and work directory are made under $TMPDIR, and vanish at the unmount. */
  tmp?: boolean;
  /** Serve from this process until the unmount, instead of from a daemon. Sets the process's umask to 0. */
  foreground?: boolean;
  /** Foreground only: failures of ours, one a line. */
  log?: 'stderr';
}

/** Reads the text of one or several `-o`. Throws MountError (usage). */
export function parseMountOptions(text: string): MountSettings {
  const settings: MountSettings = { lower: [] };
  for (const option of splitEscaped(text, ',')) {
    if (option.trim() === '') continue;
    const equals = option.indexOf('=');
    const name = (equals < 0 ? option : option.slice(0, equals)).trim();
    const apply = Object.hasOwn(known, name) ? known[name] : undefined;
    if (apply === undefined) throw refused(name);
    apply(settings, new OptionValue(name, equals < 0 ? undefined : option.slice(equals + 1)));
  }
  return settings;
}

/** Parts between separators that have no backslash before them; the backslashes stay. */
function splitEscaped(text: string, separator: ',' | ':'): string[] {
  const parts: string[] = [];
  let start = 0;
  for (let i = 0; i < text.length; i++) {
    if (text[i] === '\\') i++;
    else if (text[i] === separator) {
      parts.push(text.slice(start, i));
      start = i + 1;
    }
  }
  parts.push(text.slice(start));
  return parts;
}

function unescape(text: string): string {
  return text.replace(/\\(.)/gs, '$1');
}

/** What follows "=", read as what the option wants; every complaint names the option. */
class OptionValue {
  readonly #name: string;
  readonly #text: string | undefined;

  constructor(name: string, text: string | undefined) {
    this.#name = name;
    this.#text = text;
  }

  text(): string {
    if (this.#text === undefined || this.#text === '') throw this.#bad('needs a value');
    return unescape(this.#text);
  }

  none(): void {
    if (this.#text !== undefined) throw this.#bad('takes no value');
  }

  paths(): string[] {
    if (this.#text === undefined || this.#text === '') throw this.#bad('needs a value');
    const paths = splitEscaped(this.#text, ':').map(unescape);
    if (paths.includes(''))
      throw this.#bad('has an empty path (write "\\:" for a colon in a path; "::" is not supported)');
    return paths;
  }

  seconds(): number {
    const seconds = Number(this.text());
    if (!Number.isFinite(seconds) || seconds < 0) throw this.#bad('needs a number of seconds');
    return seconds;
  }

  oneOf<T extends string>(...allowed: T[]): T {
    const text = this.text() as T;
    if (!allowed.includes(text)) throw this.#bad(`must be one of ${allowed.join(', ')}`);
    return text;
  }

  #bad(complaint: string): MountError {
    return new MountError(ExitCode.usage, `option '${this.#name}' ${complaint}`);
  }
}

type Apply = (settings: MountSettings, value: OptionValue) => void;

/** An option without a value that sets members. */
function flag(change: Partial<MountSettings>): Apply {
  return (settings, value) => {
    value.none();
    Object.assign(settings, change);
  };
}

/** Options whose effect is there anyway, or that are for other readers of an fstab. */
const nothing: Apply = (_, value) => value.none();

/** A feature of the kernel's overlayfs that we lack: asking for it to be off is no trouble. */
const onlyOff: Apply = (_, value) => void value.oneOf('off');

const known: Record<string, Apply> = {
  lowerdir: (settings, value) => {
    settings.lower = value.paths();
  },
  'lowerdir+': (settings, value) => {
    settings.lower.push(value.text());
  },
  upperdir: (settings, value) => {
    settings.upper = value.text();
  },
  workdir: (settings, value) => {
    settings.work = value.text();
  },
  redirect_dir: (settings, value) => {
    const mode = value.oneOf('on', 'off', 'follow', 'nofollow');
    settings.redirectDir = mode === 'off' ? 'follow' : mode; // the kernel follows what is there even when off
  },
  userxattr: flag({ userxattr: true }),
  volatile: flag({ volatile: true }),
  index: onlyOff,
  metacopy: onlyOff,
  nfs_export: onlyOff,
  xino: (_, value) => void value.oneOf('off', 'auto', 'on'), // inode numbers are always unique
  ro: flag({ readOnly: true }),
  rw: flag({ readOnly: false }),
  suid: flag({ suid: true }),
  nosuid: flag({ suid: false }),
  dev: flag({ dev: true }),
  nodev: flag({ dev: false }),
  exec: flag({ exec: true }),
  noexec: flag({ exec: false }),
  atime: flag({ atime: 'relatime' }),
  relatime: flag({ atime: 'relatime' }),
  noatime: flag({ atime: 'noatime' }),
  strictatime: flag({ atime: 'strictatime' }),
  diratime: flag({ nodiratime: false }),
  nodiratime: flag({ nodiratime: true }),
  sync: flag({ sync: true }),
  async: flag({ sync: false }),
  allow_other: flag({ allow: 'other' }),
  fsname: (settings, value) => {
    settings.fsname = value.text();
  },
  subtype: (settings, value) => {
    settings.subtype = value.text();
  },
  timeout: (settings, value) => {
    settings.timeout = value.seconds();
  },
  transport: (settings, value) => {
    settings.transport = value.oneOf('direct');
  },
  default_permissions: nothing,
  auto_unmount: nothing,
  nonempty: nothing,
  noacl: nothing,
  defaults: nothing,
  auto: nothing,
  noauto: nothing,
  nofail: nothing,
  _netdev: nothing,
};

/** Options of other overlays that have a meaning which we cannot give them yet. */
const unsupported = new Set([
  'allow_root',
  'clone_fd',
  'context',
  'datadir+',
  'fast_ino',
  'gidmapping',
  'lower_gid_mapping',
  'lower_uid_mapping',
  'max_idle_threads',
  'max_threads',
  'noxattrs',
  'plugins',
  'squash_to_gid',
  'squash_to_root',
  'squash_to_uid',
  'static_nlink',
  'threaded',
  'uidmapping',
  'uuid',
  'verity',
  'writeback',
  'xattr_permissions',
]);

function refused(name: string): MountError {
  const why = unsupported.has(name) ? `option '${name}' is not supported yet` : `unknown option '${name}'`;
  return new MountError(ExitCode.usage, why);
}

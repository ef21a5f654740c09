/** Where a daemon keeps what the user's other commands look for: records (registry.ts), its socket (daemon-socket.ts). */
import { lstatSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';

/** Best first. Root in a user namespace has no /run/ovl, and goes by the others. */
function directories(): string[] {
  const uid = process.geteuid?.() ?? 0;
  const candidates = uid === 0 ? ['/run/ovl'] : [];
  const runtime = process.env['XDG_RUNTIME_DIR'];
  if (runtime !== undefined && runtime !== '') candidates.push(join(runtime, 'ovl'));
  candidates.push(`/tmp/ovl-${uid}`); // not $TMPDIR, which may differ between the commands of one user
  return candidates;
}

/** Anybody may have put something under that name in /tmp: only a directory of our own, closed to others, will do. */
function isOurs(directory: string): boolean {
  try {
    const stat = lstatSync(directory);
    return stat.isDirectory() && stat.uid === process.geteuid?.() && (stat.mode & 0o022) === 0;
  } catch {
    return false;
  }
}

/** Those that are there, best first. */
export function ownDirectories(): string[] {
  return directories().filter(isOurs);
}

/** The first that will do, made if it is not there. Throws if none will. */
export function makeOwnDirectory(): string {
  let failure: unknown;
  for (const directory of directories()) {
    try {
      mkdirSync(directory, { mode: 0o700 });
    } catch (error) {
      failure = error; // it is there already, or cannot be: what follows tells
    }
    if (isOurs(directory)) return directory;
  }
  throw new Error('no directory for the record of the mount', { cause: failure });
}

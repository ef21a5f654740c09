/** What a driver can be asked: name → [argument, answer]. */
import type { Operation, Result, Seen, TreeEntry } from './operations.js';
import type { Flavour, Place, SideKind } from './sides.js';

export interface Requests {
  build: [{ root: string; entries: TreeEntry[]; prefix: string }, void];
  open: [{ kind: SideKind; place: Place; flavour: Flavour }, void];
  /** Mounts ours and serves it. Only for a driver that is asked nothing else. */
  serve: [{ place: Place; flavour: Flavour }, void];
  unserve: [Record<string, never>, void];
  /** Slots of open files are closed at the end. */
  run: [{ operations: Operation[]; umask: number }, Result[]];
  snapshot: [Record<string, never>, Seen[]];
  close: [Record<string, never>, void];
  /** A snapshot of a plain directory. */
  look: [{ root: string }, Seen[]];
}

export type Reply = { id: number; value: unknown } | { id: number; error: string };

/**
 * The record of live mounts for `ovl ps`: one JSON file a mount, written by whoever serves it and removed at its end.
 * What a killed daemon left behind is recognised by its process, and removed by the next reader,
 * its temporary upper included.
 */
import { readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { RequestCount } from './fuse/request-counts.js';
import type { TransportName } from './options.js';
import { startTime } from './processes.js';
import { removeIfStale } from './daemon-socket.js';
import { ownDirectories, makeOwnDirectory } from './runtime-directory.js';
import { removeIfAbandoned } from './start-lock.js';
import { reclaimTemporaryUpper } from './temporary.js';

/** What is known of a live mount: a line of `ovl ps --json`. */
export interface MountRecord {
  id: string;
  /** The process that serves the mount, and when it started (clock ticks since boot). */
  pid: number;
  pidStart: number;
  mountpoint: string;
  /** `major:minor` of the mount. */
  device: string;
  lower: string[];
  dataOnly: string[];
  upper: string | undefined;
  work: string | undefined;
  /** The directory of a temporary upper, which goes with the mount. */
  temporary?: string;
  /** Overlay attributes are under "user.overlay." instead of "trusted.overlay.". */
  userxattr: boolean;
  /** ISO 8601. */
  since: string;
  transport: TransportName;
  /** Whether the process tells what the mount has been asked when it gets SIGUSR2. */
  counts: boolean;
}

/** Returns the file to remove at the end. Throws if no directory will do. */
export function register(record: MountRecord): string {
  const directory = makeOwnDirectory();
  const path = join(directory, `${record.id}.json`);
  writeFileSync(`${path}.new`, `${JSON.stringify(record)}\n`, { mode: 0o600 });
  renameSync(`${path}.new`, path); // a reader sees all of it or nothing
  return path;
}

export function unregister(path: string): void {
  rmSync(path, { force: true });
  rmSync(countsBeside(path), { force: true });
}

function countsBeside(path: string): string {
  return path.replace(/\.json$/, '.counts');
}

/** Beside the record at `path`, for whoever asked. */
export function writeCounts(path: string, counts: readonly RequestCount[]): void {
  const target = countsBeside(path);
  try {
    writeFileSync(`${target}.new`, JSON.stringify(counts), { mode: 0o600 });
    renameSync(`${target}.new`, target);
  } catch {
    // The directory is full or gone: whoever asked notices that there is no answer.
  }
}

/** Takes the answer away: the next is a new one. */
export function takeCounts(id: string): RequestCount[] | undefined {
  for (const directory of ownDirectories()) {
    const path = join(directory, `${id}.counts`);
    try {
      const counts = JSON.parse(readFileSync(path, 'utf8')) as RequestCount[];
      rmSync(path, { force: true });
      return counts;
    } catch {
      // Not here, or not yet.
    }
  }
  return undefined;
}

/** Records whose process is alive. Clears away what those of the others stand for. */
export function readRecords(): MountRecord[] {
  const records: MountRecord[] = [];
  for (const directory of ownDirectories()) {
    for (const name of readdirSync(directory)) {
      if (removeIfStale(directory, name) || removeIfAbandoned(directory, name)) continue;
      if (!name.endsWith('.json')) continue;
      const path = join(directory, name);
      const record = readRecord(path);
      if (record !== undefined && startTime(record.pid) === record.pidStart) records.push(record);
      else if (record?.temporary === undefined || reclaimTemporaryUpper(record.temporary)) unregister(path);
    }
  }
  return records;
}

function readRecord(path: string): MountRecord | undefined {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as MountRecord;
  } catch {
    return undefined;
  }
}

/**
 * Telling processes apart: a pid alone may be another process by now, a pid with its start time may not. And what this one
 * is: the root of a user namespace is not the machine's. By /proc alone, so that a command knows before koffi is loaded.
 */
import { readFileSync } from 'node:fs';

/** When a process started, in clock ticks since boot, or undefined if there is none (or only its remains). */
export function startTime(pid: number | 'self'): number | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    // The second field, the command in brackets, may hold anything; what follows it does not.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return fields[0] === 'Z' ? undefined : Number(fields[19]);
  } catch {
    return undefined;
  }
}

/** Whether this process's user ids are the machine's own. */
export function inInitialUserNamespace(): boolean {
  return mapsAll('uid') ?? true; // a kernel without user namespaces
}

/** Whether this process's user and group ids are the machine's own, all of them, and known to be. */
export function hasAllIds(): boolean {
  return mapsAll('uid') === true && mapsAll('gid') === true;
}

function mapsAll(kind: 'uid' | 'gid'): boolean | undefined {
  try {
    return /^\s*0\s+0\s+4294967295\s*$/.test(readFileSync(`/proc/self/${kind}_map`, 'latin1'));
  } catch {
    return undefined;
  }
}

export function isAdministrator(): boolean {
  return process.geteuid?.() === 0 && inInitialUserNamespace();
}

const CAP_SYS_ADMIN = 21n;

/** Whether mount(2) is worth trying. */
export function maySysAdmin(): boolean {
  try {
    const effective = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'latin1'))?.[1];
    return effective !== undefined && ((BigInt(`0x${effective}`) >> CAP_SYS_ADMIN) & 1n) === 1n;
  } catch {
    return process.geteuid?.() === 0;
  }
}

/** How many files this process may have open. */
export function openFileLimit(): number {
  try {
    const limit = /^Max open files\s+(\S+)/m.exec(readFileSync('/proc/self/limits', 'latin1'))?.[1];
    return limit === undefined || limit === 'unlimited' ? Number.POSITIVE_INFINITY : Number(limit);
  } catch {
    return Number.POSITIVE_INFINITY; // no /proc: the layers will tell
  }
}

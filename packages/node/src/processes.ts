/**
 * Telling processes apart: a pid alone may be another process by now, a pid with its start time may not. And what this one
 * is: the root of a user namespace is not the machine's.
 */
import { readFileSync } from 'node:fs';
import { bind } from './libc.js';

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

const exit = bind<(status: number) => void>('void _exit(int)');

/** Ends this process without waiting for threads that are blocked in a system call. */
export function exitNow(code: number): never {
  exit(code);
  throw new Error('unreachable');
}

/** Whether this process's user ids are the machine's own. */
export function inInitialUserNamespace(): boolean {
  try {
    return /^\s*0\s+0\s+4294967295\s*$/.test(readFileSync('/proc/self/uid_map', 'latin1'));
  } catch {
    return true; // a kernel without user namespaces
  }
}

export function isAdministrator(): boolean {
  return process.geteuid?.() === 0 && inInitialUserNamespace();
}

/** Telling processes apart: a pid alone may be another process by now, a pid with its start time may not. */
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

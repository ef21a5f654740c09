// Mounts as a test sees them: is one there, and how to be rid of one whatever its server does.
// Only /proc and /sys are read: a stat of a mount whose server has stopped would hang.
import { spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';

/**
 * The topmost mount at exactly this path.
 * @param {string} path
 * @returns {{ type: string, minor: string } | undefined}
 */
export function mountAt(path) {
  let found;
  for (const line of readFileSync('/proc/self/mountinfo', 'utf8').split('\n')) {
    const [before = '', after = ''] = line.split(' - ');
    const [, , device = '', , point = ''] = before.split(' ');
    const name = point.replace(/\\([0-7]{3})/g, (_, octal) => String.fromCharCode(Number.parseInt(octal, 8)));
    if (Buffer.from(name, 'latin1').toString() === path)
      found = { type: after.split(' ')[0] ?? '', minor: device.split(':')[1] ?? '' };
  }
  return found;
}

/**
 * Ends a FUSE mount's connection, so that whoever waits for its server gets an error.
 * @param {string} path
 */
export function abortFuse(path) {
  const mount = mountAt(path);
  if (!mount?.type.startsWith('fuse')) return;
  try {
    writeFileSync(`/sys/fs/fuse/connections/${mount.minor}/abort`, '1');
  } catch {
    // Gone by itself, or not ours to end.
  }
}

/**
 * Takes away every mount at a path, also one that hangs.
 * @param {string} path
 */
export async function detach(path) {
  for (let tries = 0; tries < 4 && mountAt(path); tries++) {
    abortFuse(path);
    const command = process.getuid?.() === 0 ? ['umount', '-l', path] : ['fusermount3', '-uz', path];
    await execute(command, { timeout: 10_000 });
  }
}

/**
 * Waits until nothing is mounted at a path; false if something still is.
 * @param {string} path
 * @param {number} milliseconds
 */
export async function isGone(path, milliseconds) {
  for (const end = Date.now() + milliseconds; mountAt(path); ) {
    if (Date.now() > end) return false;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return true;
}

/**
 * @typedef {object} Ended
 * @property {number} code The exit code; 128 and more if a signal ended it; 127 if it never started.
 * @property {string} stdout
 * @property {string} stderr
 * @property {boolean} timedOut
 */

/**
 * Runs a command to its end and to the end of its output. At the deadline its process group is
 * killed, after `onTimeout` has freed it from whatever it hangs in; when `signal` is aborted, the same happens then.
 * @param {readonly string[]} command
 * @param {{ timeout: number, onTimeout?: () => void, signal?: AbortSignal, cwd?: string, env?: NodeJS.ProcessEnv, input?: string }} options
 * @returns {Promise<Ended>}
 */
export function execute(command, { timeout, onTimeout, signal, input, ...options }) {
  return new Promise((resolve) => {
    const [program = '', ...args] = command;
    const child = spawn(program, args, {
      ...options,
      detached: true,
      stdio: [input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
    });
    const ended = { code: 0, stdout: '', stderr: '', timedOut: false };
    child.stdin?.end(input);
    child.stdout?.setEncoding('utf8').on('data', (text) => {
      ended.stdout += text;
    });
    child.stderr?.setEncoding('utf8').on('data', (text) => {
      ended.stderr += text;
    });
    /** @type {NodeJS.Timeout | undefined} */
    let lastResort;
    const kill = () => {
      onTimeout?.();
      if (child.pid) killGroup(child.pid);
      // A process that left the group may hold the pipes for ever.
      lastResort ??= setTimeout(() => finish(137), 3_000);
    };
    const timer = setTimeout(() => {
      ended.timedOut = true;
      kill();
    }, timeout);
    if (signal?.aborted) kill();
    else signal?.addEventListener('abort', kill);
    /** @param {number} code */
    const finish = (code) => {
      clearTimeout(timer);
      clearTimeout(lastResort);
      signal?.removeEventListener('abort', kill);
      child.stdout?.destroy();
      child.stderr?.destroy();
      child.unref();
      resolve({ ...ended, code });
    };
    child.on('error', (error) => {
      ended.stderr += error.message;
      finish(127);
    });
    child.on('close', (code, signal) => finish(signal ? 137 : (code ?? 1)));
  });
}

/** @param {number} pid */
function killGroup(pid) {
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // Ended already.
  }
}

// `--as USER`: root lays out the disk, and an ordinary user (user.mjs) does everything on it. What only root may do, he asks for.
import { fork, spawnSync } from 'node:child_process';
import { chownSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { dropCaches } from './caches.mjs';
import { passSignals } from './stop.mjs';

/**
 * Answers the summary.
 * @param {string} user
 * @param {import('./bench.mjs').Order} order
 */
export async function benchAs(user, order) {
  const [uid, gid] = ['-u', '-g'].map((what) => {
    const { status, stdout } = spawnSync('id', [what, user], { encoding: 'utf8' });
    if (status !== 0) throw new Error(`no user '${user}'`);
    return Number(stdout);
  });
  const { dir } = order.disk;
  const home = join(dir, 'home');
  mkdirSync(home);
  for (const path of [dir, home]) chownSync(path, uid, gid);
  const env = { ...process.env, HOME: home, USER: user, LOGNAME: user, XDG_RUNTIME_DIR: '' };
  const program = fileURLToPath(new URL('user.mjs', import.meta.url));
  // In a group of its own: signals reach it through here, once.
  const child = fork(program, {
    uid,
    gid,
    env,
    cwd: dir,
    detached: true,
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  passSignals((signal) => void child.kill(signal));
  child.send(order);
  return new Promise((resolve, reject) => {
    child.on('message', async ({ summary, failure }) => {
      if (summary) resolve(summary);
      else if (failure) reject(new Error(failure));
      else child.send({ dropped: await dropCaches() });
    });
    child.on('error', reject);
    child.on('close', (code, signal) => reject(new Error(`the user's part ended early (${signal ?? code})`)));
  });
}

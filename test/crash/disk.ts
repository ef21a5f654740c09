/** A small ext4 of its own, on a loop device: so that a power failure can be had without the machine's. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { mountAt } from '../support/mounts.mjs';

export class Disk {
  readonly path: string;
  readonly #image: string;

  constructor(base: string) {
    this.#image = join(base, 'image');
    this.path = join(base, 'disk');
    mkdirSync(this.path);
    execFileSync('truncate', ['-s', '1G', this.#image]);
    execFileSync('mkfs.ext4', ['-q', this.#image]);
    this.#mount();
  }

  #mount(): void {
    execFileSync('mount', ['-o', 'loop', this.#image, this.path]);
  }

  sync(): void {
    execFileSync('sync', ['-f', this.path]);
  }

  /**
   * After its end: what the journal has is carried out. That takes a new mount, and there is one only when the last user of
   * the old one has gone: the dead daemon, or a mount namespace that somebody made meanwhile.
   */
  async restart(): Promise<void> {
    for (const end = Date.now() + 60_000; ; ) {
      try {
        if (mountAt(this.path) !== undefined) execFileSync('umount', [this.path], { stdio: 'pipe' });
        this.#mount();
        rmdirSync(mkdtempSync(join(this.path, 'probe-')));
        return;
      } catch (error) {
        if (Date.now() > end) throw error;
        await sleep(100);
      }
    }
  }

  /** Removes what was made in it, unless it has ended. */
  clear(folder: string): void {
    try {
      rmSync(folder, { recursive: true, force: true });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EIO') throw error;
    }
  }

  remove(): void {
    if (mountAt(this.path) !== undefined) execFileSync('umount', ['-l', this.path]);
  }
}

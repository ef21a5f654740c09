// `ovl mount` of the directories "lower", "upper" and "work" below a root, at its "merged"; and when its upper may be looked at.
import { closeSync, fsyncSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import { execute } from '../support/mounts.mjs';
import { ovl } from './command.mjs';

const deadline = 30_000;

export async function mountBelow(root: string, ...options: string[]): Promise<void> {
  const at = (name: string): string => join(root, name);
  const layers = `lowerdir=${at('lower')},upperdir=${at('upper')},workdir=${at('work')}`;
  const command = [...ovl, 'mount', '-o', [layers, ...options].join(','), at('merged')];
  expect(await execute(command, { timeout: deadline })).toMatchObject({ code: 0, stderr: '' });
}

/** Waits for what a mount copies up after it has answered. */
export function completeCopies(mountpoint: string): void {
  const fd = openSync(mountpoint, 'r');
  fsyncSync(fd);
  closeSync(fd);
}

/** Which commands there are, in the order of the help. */
import type { Command } from './command.js';
import { diffCommand } from './commands/diff.js';
import { explainCommand } from './commands/explain.js';
import { fsckCommand } from './commands/fsck.js';
import { mountCommand } from './commands/mount.js';
import { psCommand } from './commands/ps.js';
import { umountCommand } from './commands/umount.js';

export const COMMANDS: readonly Command[] = [
  mountCommand,
  umountCommand,
  psCommand,
  diffCommand,
  explainCommand,
  fsckCommand,
];

/** `ovl umount`: ends a mount and waits until its daemon has let go. */
import { unmount } from '@ovl/node';
import type { Command } from '../command.js';
import { UsageError } from '../exit.js';

export const umountCommand: Command = {
  name: 'umount',
  summary: 'end a mount',
  usage: ['[--lazy] MERGED…'],
  description: 'Unmounts and returns when the daemon has let go, so that the upper layer is free for the next mount.',
  options: [{ name: 'lazy', short: 'l', help: 'detach now, finish when the last user of the mount is gone' }],
  examples: [['ovl umount merged', 'end the mount at `merged`']],
  exitCodes: [
    [1, 'the system refused'],
    [3, 'nothing is mounted there'],
    [4, 'the mount is in use'],
  ],
  async run(args) {
    if (args.positionals.length === 0) throw new UsageError('name a mountpoint', 'umount');
    for (const mountpoint of args.positionals) await unmount(mountpoint, { lazy: args.has('lazy') });
    return 0;
  },
};

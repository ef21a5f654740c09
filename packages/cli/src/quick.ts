/**
 * `ovl mount` in one file of its own, because starting is all that it takes: the daemon is approached first of all, and nothing is
 * loaded that a mount does not need. Everything else is index.ts's.
 */
import { runCommand } from './command.js';
import { approachDaemon, bareCommand, leaveDaemon, mountCommand } from './commands/mount.js';
import { reporting } from './exit.js';

/** As `main` of index.ts; but where a daemon mounts, it ends the process, because Node takes longer to end by itself. */
export async function main(argv: readonly string[]): Promise<number> {
  const [first, ...rest] = argv;
  const isBare = first !== undefined && /^-(?!-?(?:h|help|V|version)$)/.test(first);
  if (first !== 'mount' && !isBare) return await (await import('./index.js')).main(argv);
  const isByDaemon = approachDaemon(argv);
  const exitCode = await reporting(async () => {
    try {
      return await (first === 'mount' ? runCommand(mountCommand, rest) : runCommand(bareCommand, argv));
    } finally {
      leaveDaemon();
    }
  });
  return isByDaemon ? process.exit(exitCode) : exitCode;
}

/** `@ovl/node/start`: asking for a mount, without what serves one. It loads in a few milliseconds. */
export { DaemonApproach } from '../ask-daemon.js';
export { mountByDaemon } from '../mount.js';
export { ExitCode, MountError } from '../mount-error.js';
export { parseMountOptions } from '../option-parser.js';
export { type MountOption, type OptionGroup, optionGroups } from '../option-table.js';
export type { MountOptions } from '../options.js';

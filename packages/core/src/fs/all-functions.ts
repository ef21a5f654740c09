/** Everything of node:fs that an overlay can answer, for the synchronous and the callback face. */
export * from './path-functions.js';
export { cp } from './cp.js';
export { close, fdatasync, fsync, ftruncate, open, read, readv, write, writev } from './descriptors.js';
export { opendir } from './dir.js';
export { copyFile } from './files.js';
export { glob } from './glob.js';
export { fstat, lstat, stat, statfs } from './bigints.js';
export { access, fchmod, fchown, futimes, lchown, lutimes } from './metadata.js';
export { mkdtemp, realpath } from './names.js';
export { rm } from './rm.js';

/** What the faces of the root entry have: the functions by path that most programs need. A face is made from such a group. */
export { readdir } from './directories.js';
export { appendFile, readFile, truncate, writeFile } from './files.js';
export { chmod, chown, exists, lstat, stat, utimes } from './metadata.js';
export { link, mkdir, readlink, rename, rmdir, symlink, unlink } from './names.js';

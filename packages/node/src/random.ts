/** Random bytes from the system's own source: loading node:crypto for a few would take longer than the rest of a mount. */
import { closeSync, openSync, readSync } from 'node:fs';

export function randomBytes(length: number): Buffer {
  const fd = openSync('/dev/urandom', 'r');
  try {
    const bytes = Buffer.alloc(length);
    for (let filled = 0; filled < length; ) filled += readSync(fd, bytes, filled, length - filled, null);
    return bytes;
  } finally {
    closeSync(fd);
  }
}

/**
 * Whether a file system keeps an order that copy-up can rely on in place of fsync: file data whose write-back has ended
 * before a name is given is on the disk, with the blocks and the size that lead to it, no later than the name. So it is
 * where one journal carries all changes of metadata in turn, and nothing ends a page's write-back before what makes its
 * data visible is in the journal: ext4 (`ext4_end_io_end` converts extents first, then ends the pages) and XFS (`xfs_end_ioend`,
 * likewise). Each commit of the journal begins with a flush of the device's cache, if data and journal share the device.
 */
import { existsSync, readFileSync, readlinkSync } from 'node:fs';
import { basename } from 'node:path';
import { parseMountinfo } from './mountinfo.js';
import { mountOf } from './syscalls.js';

/** "journal": a file's `order` suffices. "none": only fsync will do, or nobody can tell. */
export type WriteOrder = 'journal' | 'none';

/** Of the file system that an open descriptor lies on. */
export function writeOrderOf(fd: number): WriteOrder {
  try {
    const { id } = mountOf(fd);
    const mount = parseMountinfo(readFileSync('/proc/self/mountinfo', 'latin1')).find((each) => each.id === id);
    if (mount?.fstype === 'xfs')
      return mount.superOptions.some((option) => /^(?:log|rt)dev=/.test(option)) ? 'none' : 'journal';
    if (mount?.fstype !== 'ext4') return 'none';
    // A journal within the file system shows as DEVICE-INODE, and its inode is always 8; one elsewhere shows otherwise.
    const device = basename(readlinkSync(`/sys/dev/block/${mount.device}`));
    return existsSync(`/proc/fs/jbd2/${device}-8`) ? 'journal' : 'none';
  } catch {
    return 'none'; // no /proc or /sys here
  }
}

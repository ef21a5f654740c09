// The mount table, and which mount is seen where.
import { expect, test } from 'vitest';
import { isFuse, isOvl, mountAt, parseMountinfo } from '../src/mountinfo.js';

const table =
  String.raw`22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime shared:1 master:2 - ext4 /dev/vda rw,discard
40 27 0:40 / /a\040b rw,relatime shared:9 - fuse.ovl ovl rw,user_id=0
41 27 254:0 /srv/data /mnt/data rw - ext4 /dev/vda rw
42 27 0:42 / /caf` +
  '\xc3\xa9' +
  String.raw` rw - fuse.sshfs me@host:/with\040blank rw
43 40 0:43 / /a\040b rw - tmpfs none rw

nonsense`;

test('fields, escapes, optional fields', () => {
  const mounts = parseMountinfo(table);
  expect(mounts).toHaveLength(6);
  expect(mounts[2]).toEqual({
    id: 40,
    device: '0:40',
    root: '/',
    mountpoint: '/a b',
    escapedMountpoint: String.raw`/a\040b`,
    fstype: 'fuse.ovl',
    source: 'ovl',
    idmapped: false,
    superOptions: ['rw', 'user_id=0'],
  });
  expect(mounts[3]?.root).toBe('/srv/data');
  expect(mounts[4]).toMatchObject({ mountpoint: '/café', source: 'me@host:/with blank' });
  expect(mounts.map(isOvl)).toEqual([false, false, true, false, false, false]);
  expect(mounts.map(isFuse)).toEqual([false, false, true, false, true, false]);
});

test('of stacked mounts the last is seen', () => {
  expect(mountAt(parseMountinfo(table), '/a b')?.id).toBe(43);
  expect(mountAt(parseMountinfo(table), '/none')).toBeUndefined();
});

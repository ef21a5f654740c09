// The option string, as the kernel's overlayfs, fuse-overlayfs, podman and mount(8) write it.
import { expect, test } from 'vitest';
import { MountError } from '../src/mount-error.js';
import { type MountSettings, parseMountOptions } from '../src/options.js';

const read: [text: string, settings: MountSettings][] = [
  ['', { lower: [] }],
  [',,', { lower: [] }],
  ['lowerdir=/a', { lower: ['/a'] }],
  ['lowerdir=/a:/b:c', { lower: ['/a', '/b', 'c'] }],
  ['lowerdir=/a,lowerdir=/b', { lower: ['/b'] }],
  ['lowerdir+=/a,lowerdir+=/b:c', { lower: ['/a', '/b:c'] }],
  [String.raw`lowerdir=/a\:b\,c\\d:/e`, { lower: [String.raw`/a:b,c\d`, '/e'] }],
  [
    'lowerdir=l/A:l/B,upperdir=x/diff,workdir=x/work,,volatile',
    { lower: ['l/A', 'l/B'], upper: 'x/diff', work: 'x/work', volatile: true },
  ],
  [String.raw`lowerdir=a,upperdir=u\,\:,workdir=w=x,`, { lower: ['a'], upper: 'u,:', work: 'w=x' }],
  ['rw,lowerdir=a,dev,suid', { lower: ['a'], readOnly: false, dev: true, suid: true }],
  [
    'lowerdir=a,ro,nodev,nosuid,noexec,noatime',
    { lower: ['a'], readOnly: true, dev: false, suid: false, exec: false, atime: 'noatime' },
  ],
  ['lowerdir=a,redirect_dir=on', { lower: ['a'], redirectDir: 'on' }],
  ['lowerdir=a,redirect_dir=off', { lower: ['a'], redirectDir: 'follow' }],
  ['lowerdir=a,redirect_dir=nofollow', { lower: ['a'], redirectDir: 'nofollow' }],
  ['lowerdir=a,timeout=1.5,allow_other,default_permissions', { lower: ['a'], timeout: 1.5, allow: 'other' }],
  [
    String.raw`lowerdir=a,fsname=my\,fs,subtype=x,userxattr`,
    { lower: ['a'], fsname: 'my,fs', subtype: 'x', userxattr: true },
  ],
  ['lowerdir=a,transport=direct,index=off,metacopy=off,xino=auto', { lower: ['a'], transport: 'direct' }],
];

test.each(read)('%s', (text, settings) => {
  expect(parseMountOptions(text)).toEqual(settings);
});

const refused: [text: string, message: string][] = [
  ['lowerdir=a,bogus', "unknown option 'bogus'"],
  ['lowerdir=a,bogus=1', "unknown option 'bogus'"],
  ['lowerdir=a,constructor', "unknown option 'constructor'"],
  ['lowerdir=a,uidmapping=:0:200000:65536', "option 'uidmapping' is not supported yet"],
  ['xattr_permissions=2', "option 'xattr_permissions' is not supported yet"],
  ['lowerdir', "option 'lowerdir' needs a value"],
  ['upperdir=', "option 'upperdir' needs a value"],
  ['lowerdir=a::b', "option 'lowerdir' has an empty path"],
  ['ro=1', "option 'ro' takes no value"],
  ['timeout=soon', "option 'timeout' needs a number of seconds"],
  ['timeout=-1', "option 'timeout' needs a number of seconds"],
  ['redirect_dir=maybe', "option 'redirect_dir' must be one of on, off, follow, nofollow"],
  ['index=on', "option 'index' must be one of off"],
  ['transport=fuse-native', "option 'transport' must be one of direct"],
];

test.each(refused)('%s is refused', (text, message) => {
  expect(() => parseMountOptions(text)).toThrow(MountError);
  expect(() => parseMountOptions(text)).toThrow(message);
  expect(() => parseMountOptions(text)).toThrow(expect.objectContaining({ exitCode: 2 }));
});

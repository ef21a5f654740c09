// The option string, as the kernel's overlayfs, fuse-overlayfs, podman and mount(8) write it.
import { expect, test } from 'vitest';
import { commonOptions } from '../src/fuse/mount.js';
import { MountError } from '../src/mount-error.js';
import { parseMountOptions } from '../src/option-parser.js';
import type { MountSettings } from '../src/options.js';

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
    { lower: ['l/A', 'l/B'], upper: 'x/diff', work: 'x/work', fsync: 'volatile' },
  ],
  [String.raw`lowerdir=a,upperdir=u\,\:,workdir=w=x,`, { lower: ['a'], upper: 'u,:', work: 'w=x' }],
  ['rw,lowerdir=a,dev,suid', { lower: ['a'], readOnly: false, dev: true, suid: true }],
  [
    'lowerdir=a,ro,nodev,nosuid,noexec,noatime',
    { lower: ['a'], readOnly: true, dev: false, suid: false, exec: false, atime: 'noatime' },
  ],
  ['lowerdir=a,redirect_dir=on', { lower: ['a'], redirectDir: 'on' }],
  ['lowerdir=a,redirect_dir=off', { lower: ['a'], redirectDir: 'off' }],
  ['lowerdir=a,redirect_dir=nofollow', { lower: ['a'], redirectDir: 'nofollow' }],
  ['lowerdir=a,timeout=1.5,allow_other,default_permissions', { lower: ['a'], timeout: 1.5, allow: 'other' }],
  [
    String.raw`lowerdir=a,fsname=my\,fs,subtype=x,userxattr`,
    { lower: ['a'], fsname: 'my,fs', subtype: 'x', userxattr: true },
  ],
  ['lowerdir=a,fsync=strict', { lower: ['a'], fsync: 'strict' }],
  ['lowerdir=a,fsync=0', { lower: ['a'], fsync: 'volatile' }],
  ['lowerdir=a,volatile,fsync=1', { lower: ['a'], fsync: 'auto' }],
  ['lowerdir=a,static_nlink,noacl,noxattrs=1', { lower: ['a'], staticNlink: true, acl: 'off', xattrs: 'off' }],
  ['lowerdir=a,noxattrs=0,allow_root', { lower: ['a'], allow: 'root' }],
  ['lowerdir=a,context="x:y:z:s0:c1,c2",ro', { lower: ['a'], labels: { context: 'x:y:z:s0:c1,c2' }, readOnly: true }],
  ['lowerdir=a,fscontext=x:y', { lower: ['a'], labels: { fscontext: 'x:y' } }],
  ['lowerdir="a,b",ro', { lower: ['a,b'], readOnly: true }],
  ['lowerdir=a"b,upperdir="c', { lower: ['a"b'], upper: '"c' }],
  [
    'lowerdir=a,sync,dirsync,nosymfollow,nodiratime',
    { lower: ['a'], sync: true, dirsync: true, nosymfollow: true, nodiratime: true },
  ],
  ['lowerdir=a,debug', { lower: ['a'], foreground: true, log: 'stderr' }],
  [
    'lowerdir=a,defaults,noauto,nofail,user,user=joe,users,_netdev,x-systemd.automount,X-mount.mkdir=0755,comment=z',
    { lower: ['a'] },
  ],
  [
    'lowerdir=a,clone_fd,max_idle_threads=4,threaded=0,fast_ino=1,writeback=1,splice_move,kernel_cache',
    { lower: ['a'] },
  ],
  ['lowerdir=a,index=on,uuid=off', { lower: ['a'], index: 'on', uuid: 'off' }],
  ['lowerdir=a,index=off,uuid=auto,nfs_export=off', { lower: ['a'], index: 'off', uuid: 'auto', nfsExport: false }],
  ['lowerdir=a,passthrough=all', { lower: ['a'], passthrough: 'all' }],
  ['lowerdir=a,passthrough=all,passthrough=on', { lower: ['a'] }],
  ['lowerdir=a,no_open', { lower: ['a'], noOpen: true }],
  ['lowerdir=a,no_open=on,no_open=off', { lower: ['a'], noOpen: false }],
  ['lowerdir=a,transport=fuse-native', { lower: ['a'], transport: 'libfuse' }],
  ['lowerdir=a,transport=direct,xino=auto', { lower: ['a'], transport: 'direct' }],
  ['lowerdir=a:b::c::d', { lower: ['a', 'b'], dataOnly: ['c', 'd'] }],
  ['lowerdir=a::c,lowerdir=b', { lower: ['b'] }],
  ['lowerdir+=a,datadir+=c,datadir+=d:e', { lower: ['a'], dataOnly: ['c', 'd:e'] }],
  ['lowerdir=a,metacopy=on,verity=require', { lower: ['a'], metacopy: 'on', verity: 'require' }],
  ['lowerdir=a,metacopy=off,redirect_dir=nofollow', { lower: ['a'], metacopy: 'off', redirectDir: 'nofollow' }],
  [
    'lowerdir=a,uidmapping=:0:200000:65536,gidmapping=0:5:1:1:9:2',
    {
      lower: ['a'],
      owners: {
        uid: [{ stored: 0, shown: 200000, count: 65536 }],
        gid: [
          { stored: 0, shown: 5, count: 1 },
          { stored: 1, shown: 9, count: 2 },
        ],
      },
    },
  ],
  ['squash_to_root', { lower: [], owners: { squash: { uid: 0, gid: 0 } } }],
  ['squash_to_uid=5,squash_to_root', { lower: [], owners: { squash: { uid: 5, gid: 0 } } }],
  ['squash_to_root,squash_to_gid=5', { lower: [], owners: { squash: { uid: 0, gid: 5 } } }],
  ['xattr_permissions=2', { lower: [], xattrPermissions: 2 }],
  ['xattr_permissions=1,xattr_permissions=0', { lower: [] }],
];

test.each(read)('%s', (text, settings) => {
  expect(parseMountOptions(text)).toEqual(settings);
});

const refused: [text: string, message: string][] = [
  ['lowerdir=a,bogus', "unknown option 'bogus'"],
  ['lowerdir=a,bogus=1', "unknown option 'bogus'"],
  ['lowerdir=a,constructor', "unknown option 'constructor'"],
  ['lowerdir=a,upperdri=b', "unknown option 'upperdri': did you mean 'upperdir'?"],
  ['lower_dir=a', "unknown option 'lower_dir': did you mean 'lowerdir'?"],
  ['lowerdir=a,nosuids', "unknown option 'nosuids': did you mean 'nosuid'?"],
  ['lowerdir=a,allow-other', "unknown option 'allow-other': did you mean 'allow_other'?"],
  ['remount,ro', "option 'remount' is refused: a mount's layers do not change"],
  ['lowerdir=a,plugins=x', "option 'plugins' is refused: there are no plugins here"],
  ['lowerdir=a,fsync=never', "option 'fsync' must be one of auto, strict, volatile"],
  ['lowerdir=a,noxattrs=2', "option 'noxattrs' must be one of 0, 1"],
  ['lowerdir=a,context=', "option 'context' needs a value"],
  ['lowerdir=a,uidmapping=:0:200000', "option 'uidmapping' needs triples of numbers"],
  ['gidmapping=:', "option 'gidmapping' needs triples of numbers"],
  ['gidmapping=0:-1:1', "option 'gidmapping' needs triples of numbers"],
  ['squash_to_root=1', "option 'squash_to_root' takes no value"],
  ['squash_to_uid=root', "option 'squash_to_uid' needs a number"],
  ['xattr_permissions=3', "option 'xattr_permissions' must be one of 0, 1, 2"],
  ['lowerdir', "option 'lowerdir' needs a value"],
  ['upperdir=', "option 'upperdir' needs a value"],
  ['lowerdir=:a', "option 'lowerdir' has an empty path"],
  ['lowerdir=::a', "option 'lowerdir' has an empty path"],
  ['lowerdir=a:', "option 'lowerdir' has an empty path"],
  ['lowerdir=a::', "option 'lowerdir' has an empty path"],
  ['lowerdir=a:::b', "option 'lowerdir' has an empty path"],
  ['lowerdir=a::b:c', "option 'lowerdir' has 'c' after data-only layers"],
  ['lowerdir=a,datadir+=b,lowerdir+=c', "option 'lowerdir+' comes after data-only layers"],
  ['lowerdir=a,userxattr,redirect_dir=on', "options 'userxattr' and 'redirect_dir=on' exclude each other"],
  ['lowerdir=a,userxattr,metacopy=on', "options 'userxattr' and 'metacopy=on' exclude each other"],
  ['lowerdir=a,metacopy=on,redirect_dir=off', "options 'metacopy=on' and 'redirect_dir=off' exclude each other"],
  ['verity=maybe', "option 'verity' must be one of off, on, require"],
  ['ro=1', "option 'ro' takes no value"],
  ['timeout=soon', "option 'timeout' needs a number of seconds"],
  ['timeout=-1', "option 'timeout' needs a number of seconds"],
  ['redirect_dir=maybe', "option 'redirect_dir' must be one of on, off, follow, nofollow"],
  ['index=maybe', "option 'index' must be one of on, off"],
  ['nfs_export=maybe', "option 'nfs_export' must be one of on, off"],
  ['no_open=maybe', "option 'no_open' must be one of on, off"],
  ['uuid=yes', "option 'uuid' must be one of null, off, auto, on"],
  ['transport=fuse', "option 'transport' must be one of direct, libfuse, fuse-native"],
];

test.each(refused)('%s is refused', (text, message) => {
  expect(() => parseMountOptions(text)).toThrow(MountError);
  expect(() => parseMountOptions(text)).toThrow(message);
  expect(() => parseMountOptions(text)).toThrow(expect.objectContaining({ exitCode: 2 }));
});

test('what reaches the kernel: labels in quotation marks, since they may have commas', () => {
  const request = { mountpoint: '/m', fsname: 'f', subtype: 's', flags: [] };
  expect(commonOptions({ ...request, allow: 'owner', labels: [] })).toEqual([
    'default_permissions',
    expect.stringMatching(/^max_read=\d+$/),
  ]);
  const labels = [['context', 'u:r:t:s0:c1,c2']] as const;
  expect(commonOptions({ ...request, allow: 'other', labels }).slice(2)).toEqual([
    'allow_other',
    'context="u:r:t:s0:c1,c2"',
  ]);
});

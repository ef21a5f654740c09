import { execFileSync } from 'node:child_process';
import { expect } from 'vitest';
import { compare } from './compare.js';

/** An ACL as the attribute holds it: "user::rw-" … as `user:7`, `u1000:6`, `group:5`, `g100:4`, `mask:7`, `other:0`. */
function hex(...entries: string[]): string {
  const tags: Record<string, number> = { user: 1, u: 2, group: 4, g: 8, mask: 16, other: 32 };
  const bytes = Buffer.alloc(4 + 8 * entries.length);
  bytes.writeUInt32LE(2, 0);
  entries.forEach((entry, i) => {
    const [, tag = '', id = '', permission] = /^([a-z]+)(\d*):(\d)$/.exec(entry) ?? [];
    bytes.writeUInt16LE(tags[tag] as number, 4 + 8 * i);
    bytes.writeUInt16LE(Number(permission), 6 + 8 * i);
    bytes.writeUInt32LE(id === '' ? 0xffffffff : Number(id), 8 + 8 * i);
  });
  return bytes.toString('hex');
}

compare('POSIX ACLs', [
  {
    what: 'an access ACL decides, and chmod changes its mask',
    lower: 'open f a w,creat 0640\nmkdir d 0750\nopen g d/b w,creat 0644',
    merged: `
      process bob 1000
      bob: access a r => EACCES
      run setfacl -m u:1000:rw a => ok
      run getfacl -cn a => user::rw-|user:1000:rw-|group::r--|mask::rw-|other::---||
      stat a mode => 100660
      bob: access a rw => ok
      chmod a 0600 => ok
      bob: access a r => EACCES
      run getfacl -cn a => user::rw-|user:1000:rw- #effective:---|group::r-- #effective:---|mask::---|other::---||
      chmod a 0640 => ok
      bob: access a r => ok
      bob: access a w => EACCES
      bob: run setfacl -m u:1000:rwx a
      bob: access d/b r => EACCES
      run setfacl -m g:1000:x d
      bob: access d/b r => ok
      bob: list d => EACCES
      listx a => system.posix_acl_access
      run setfacl -b a => ok
      stat a mode => 100640
      listx a => (empty)`,
    remounted: `
      process bob 1000
      bob: access d/b r => ok
      run getfacl -cn d => user::rwx|group::r-x|group:1000:--x|mask::r-x|other::---||`,
  },
  {
    what: 'ACLs of the lower layer are obeyed, and kept by copy-up',
    lower: `
      open f a w,creat 0644
      run setfacl -m u:1000:---,g:100:rwx a
      mkdir d 0755
      run setfacl -m u:1000:rwx,d:u:1001:rw,d:m::rw d
      open g d/b w,creat 0600`,
    merged: `
      process bob 1000
      bob: access a r => EACCES
      bob: open f d/new w,creat 0644 => ok
      chown a 0 5 => ok
      bob: access a r => EACCES
      run getfacl -cn a d d/b d/new
      gethex a system.posix_acl_access
      gethex d system.posix_acl_default`,
    remounted: `
      run getfacl -cn a d d/b d/new
      process bob 1000
      bob: access a r => EACCES`,
    also: ({ merged, upper }) => {
      // Not only shown alike: the upper holds them, and the kernel would read them there.
      for (const path of ['a', 'd', 'd/new']) expect(acl(`${upper}/${path}`)).toBe(acl(`${merged}/${path}`));
      expect(acl(`${upper}/a`)).toContain('user:1000:---');
    },
  },
  {
    what: 'a default ACL is inherited in place of the umask',
    lower: 'mkdir plain 0755\nmkdir d 0755\nopen f d/gone w,creat 0644\nmkdir d/gonedir 0755',
    merged: `
      run setfacl -d -m u:1000:rwx,g::r-x,o::- d => ok
      umask 077
      mkdir plain/d 0777
      stat plain/d mode => 40700
      open a d/file w,creat 0666 => ok
      stat d/file mode => 100660
      open b d/secret w,creat 0600 => ok
      mkdir d/sub 0777 => ok
      mkdir d/sub/sub 0755 => ok
      mknod d/fifo fifo 0666 => ok
      symlink target d/link => ok
      unlink d/gone
      open c d/gone w,creat 0666 => ok
      rmdir d/gonedir
      mkdir d/gonedir 0777 => ok
      open e d rw,tmpfile 0666 => ok
      linkfd e d/tmp => ok
      run getfacl -cn d d/file d/secret d/sub d/sub/sub d/fifo d/gone d/gonedir d/tmp
      link d/file plain/file
      rename d/secret plain/secret
      run getfacl -cn plain/file plain/secret`,
    remounted: `
      umask 077
      open a d/again w,creat 0666
      run getfacl -cn d d/file d/sub d/gone d/gonedir d/tmp d/again`,
  },
  {
    what: 'a default ACL that says no more than a mode',
    merged: `
      mkdir d 0755
      sethex d system.posix_acl_default ${hex('user:7', 'group:5', 'other:0')} => ok
      umask 0
      open f d/f w,creat 0777
      mkdir d/d 0777
      listx d/f => (empty)
      listx d/d => system.posix_acl_default
      stat d/f mode => 100750
      stat d/d mode => 40750
      removex d system.posix_acl_default => ok
      open g d/g w,creat 0777
      stat d/g mode => 100777`,
  },
  {
    what: 'what is refused',
    merged: `
      open f a w,creat 0644
      symlink a l
      sethex l system.posix_acl_access ${hex('user:7', 'group:5', 'other:0')}
      sethex a system.posix_acl_default ${hex('user:7', 'group:5', 'other:0')} => EACCES
      sethex a system.posix_acl_access 0000
      sethex a system.posix_acl_access ${hex('user:7', 'other:0')} => EINVAL
      sethex a system.posix_acl_access ${hex('user:6', 'u7:6', 'group:4', 'other:0')} => EINVAL
      getx a system.posix_acl_access => ENODATA
      removex a system.posix_acl_access
      process bob 1000
      bob: sethex a system.posix_acl_access ${hex('user:6', 'u7:6', 'group:4', 'mask:6', 'other:0')} => EPERM
      sethex a system.posix_acl_access ${hex('user:6', 'group:4', 'other:1')} => ok
      stat a mode => 100641
      listx a => (empty)`,
  },
  {
    what: 'somebody outside the group loses the set-group-id bit with the new ACL',
    lower:
      'open f a w,creat 0755\nchown a 1000 5\nchmod a 02755\nopen g b w,creat 0755\nchown b 1000 1000\nchmod b 02755',
    merged: `
      process bob 1000
      bob: sethex a system.posix_acl_access ${hex('user:7', 'u7:6', 'group:5', 'mask:7', 'other:5')} => ok
      bob: sethex b system.posix_acl_access ${hex('user:7', 'u7:6', 'group:5', 'mask:7', 'other:5')} => ok
      stat a mode => 100775
      stat b mode => 102775`,
  },
]);

function acl(path: string): string {
  return execFileSync('getfacl', ['-cnp', path], { encoding: 'utf8' });
}

compare(
  'a mount without ACLs',
  [
    {
      what: 'they are not shown, not stored, not obeyed and not inherited',
      lower: 'open f a w,creat 0644\nrun setfacl -m u:1000:--- a\nmkdir d 0755\nrun setfacl -d -m u:1000:rwx d',
      merged: `
        process bob 1000
        bob: access a r => ok
        getx a system.posix_acl_access => EOPNOTSUPP
        listx a => (empty)
        sethex a system.posix_acl_access ${hex('user:7', 'group:5', 'other:0')} => EOPNOTSUPP
        umask 027
        open f d/f w,creat 0666 => ok
        stat d/f mode => 100640`,
      differs: { plain: 'it has ACLs', kernel: 'its ACLs cannot be turned off' },
      also: ({ upper }) => expect(acl(`${upper}/d/f`)).toBe('user::rw-\ngroup::r--\nother::---\n\n'),
    },
  ],
  { mount: { acl: 'off' } },
);

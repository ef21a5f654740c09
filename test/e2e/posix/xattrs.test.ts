import { execFileSync } from 'node:child_process';
import { expect } from 'vitest';
import { compare } from './compare.js';

const escaped = (path: string): string[] =>
  execFileSync('getfattr', ['--absolute-names', '-m', '^trusted', path], { encoding: 'utf8' }).split('\n').slice(1, -2);

compare('extended attributes', [
  {
    what: 'of users, trusted ones and those of security, kept by copy-up',
    lower: `
      open f a w,creat 0644
      setx a user.below lower
      setx a trusted.below lower
      setx a security.below lower
      mkdir d 0755
      setx d user.d dir`,
    merged: `
      process bob 1000
      listx a => security.below trusted.below user.below
      setx a user.new value => ok
      setx a user.new value create => EEXIST
      setx a user.none value replace => ENODATA
      setx a user.below upper replace => ok
      setx a trusted.new t => ok
      setx a security.new s => ok
      getx a user.below => upper
      getx a trusted.below => lower
      getx a security.below => lower
      getx a user.none => ENODATA
      removex a trusted.below => ok
      removex a trusted.below => ENODATA
      listx a => security.below security.new trusted.new user.below user.new
      setx d user.d changed
      getx d user.d => changed
      bob: getx a user.below => upper
      bob: getx a trusted.new => ENODATA
      bob: setx a user.bob value => EACCES
      bob: setx a trusted.bob value => EPERM
      bob: setx a security.bob value => EPERM
      bob: listx a
      symlink a l
      setx l trusted.l link => ok
      getx l trusted.l => link
      setx l user.l link => EPERM
      mknod p fifo 0644
      setx p trusted.p pipe => ok
      setx p user.p pipe => EPERM
      setx a user.empty \\x00 => ok
      getx a user.empty => (empty)
      setx a nonsense value => EOPNOTSUPP
      setx a user. value => EINVAL
      setx a user.${'n'.repeat(250)} long => ok
      setx a user.${'n'.repeat(251)} long => ERANGE`,
    remounted: `
      getx a user.below => upper
      getx a security.below => lower
      getx l trusted.l => link
      getx p trusted.p => pipe
      getx d user.d => changed`,
  },
  {
    what: 'values and lists as large as the file system below takes',
    lower: 'open f a w,creat 0644',
    merged: `
      setx a user.large ${'v'.repeat(3000)} => ok
      getx a user.large => ${'v'.repeat(200)}
      setx a user.larger ${'v'.repeat(60000)}
      listx a
      removex a user.large => ok
      listx a => (empty)`,
  },
  {
    what: "the overlay's own are hidden, and a nested overlay's are escaped",
    lower: 'mkdir d 0755\nopen f d/f w,creat 0644\nmkdir opaque 0755\nopen g opaque/below w,creat 0644',
    merged: `
      chmod d/f 0600
      rename d moved
      mkdir new 0755
      rmdir new
      unlink opaque/below
      rmdir opaque
      mkdir opaque 0755
      listx . => (empty)
      listx moved => (empty)
      listx moved/f => (empty)
      listx opaque => (empty)
      getx opaque trusted.overlay.opaque => ENODATA
      getx moved trusted.overlay.redirect => ENODATA
      setx moved trusted.overlay.opaque y => ok
      setx moved trusted.overlay.anything z => ok
      setx moved trusted.overlay.overlay.opaque deep => ok
      setx moved user.overlay.opaque user => ok
      listx moved => trusted.overlay.anything trusted.overlay.opaque trusted.overlay.overlay.opaque user.overlay.opaque
      getx moved trusted.overlay.opaque => y
      getx moved trusted.overlay.overlay.opaque => deep
      list moved => f
      removex moved trusted.overlay.anything => ok
      removex moved trusted.overlay.redirect => ENODATA`,
    remounted: `
      list moved => f
      list opaque => (empty)
      listx moved => trusted.overlay.opaque trusted.overlay.overlay.opaque user.overlay.opaque
      getx moved trusted.overlay.opaque => y`,
    differs: { plain: 'it hides nothing' },
    also: ({ upper }) => {
      expect(escaped(`${upper}/moved`)).toEqual(
        expect.arrayContaining([
          'trusted.overlay.overlay.opaque',
          'trusted.overlay.overlay.overlay.opaque',
          'trusted.overlay.redirect',
        ]),
      );
    },
  },
  {
    what: 'under "trusted.overlay." in a lower layer: those of a nested overlay show unescaped',
    lower:
      'mkdir d 0755\nsetx d trusted.overlay.overlay.opaque y\nsetx d trusted.overlay.overlay.overlay.redirect deep',
    merged: `
      listx d => trusted.overlay.opaque trusted.overlay.overlay.redirect
      chmod d 0700
      listx d => trusted.overlay.opaque trusted.overlay.overlay.redirect
      getx d trusted.overlay.opaque => y`,
    differs: { plain: 'it unescapes nothing' },
  },
]);

// Lower files with several names, and inode numbers, on real mounts: in one mount, in the next, and in the kernel's.
import { mkdirSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { requireOrSkip } from '../../../test/support/require.js';
import {
  type Place,
  isFailure,
  call,
  mountAt,
  place,
  requireFuse,
  run,
  shell,
  unmountAt,
  type User,
} from './mount-support.js';

/** Link count and inode number, asked as the user who may look. */
function numbersOf(path: string, user: User): { nlink: number; ino: number } {
  const [nlink, ino] = shell('stat -c "%h %i" "$1"', [path], user).split(' ').map(Number) as [number, number];
  return { nlink, ino };
}

/** Link counts of files, how many inode numbers they have, and their content, which is the same. */
function look(
  base: string,
  names: readonly string[],
  user: User,
): { nlink: number[]; numbers: number; content: string } {
  const found = names.map((name) => numbersOf(join(base, name), user));
  const content = new Set(names.map((name) => shell('cat "$1"', [join(base, name)], user)));
  expect(content.size, names.join()).toBe(1);
  return {
    nlink: found.map(({ nlink }) => nlink),
    numbers: new Set(found.map(({ ino }) => ino)).size,
    content: [...content].join(),
  };
}

const MAKE = 'cd "$1"; echo text > a; chmod 444 a; ln a b; ln a c; mkdir d; ln a d/e; echo other > other';

describe.each<User>(['root', 'nobody'])('lower files with several names, as %s', (user) => {
  function mounted(): Place & { again(): void } {
    const at = place(user);
    shell(MAKE, [at.lower], user);
    const mount = (): void => {
      const { mountpoint, lower, upper, work } = at;
      mountAt({ mountpoint, lower: [lower], upper, work }, user);
    };
    mount();
    return {
      ...at,
      again: () => {
        unmountAt(at.mountpoint, user);
        mount();
      },
    };
  }

  test('stay one, and count, through every change and into the next mount', (ctx) => {
    requireFuse(ctx, user);
    const { mountpoint, upper, work, again } = mounted();
    const { ino } = numbersOf(join(mountpoint, 'a'), user);
    shell('cd "$1"; chmod 644 a; echo more >> b; rm c; ln d/e new; mv other b', [mountpoint], user);
    for (const next of [again, again, () => undefined]) {
      expect(look(mountpoint, ['a', 'd/e', 'new'], user)).toEqual({
        nlink: [3, 3, 3],
        numbers: 1,
        content: 'text\nmore\n',
      });
      expect(numbersOf(join(mountpoint, 'new'), user).ino).toBe(ino);
      next();
    }
    shell('cd "$1"; rm a new; echo again >> d/e', [mountpoint], user);
    expect(look(mountpoint, ['d/e'], user)).toEqual({ nlink: [1], numbers: 1, content: 'text\nmore\nagain\n' });
    again();
    shell('cd "$1"; exec 3<d/e; rm d/e; test "$(cat <&3)" = "$(printf \'text\\nmore\\nagain\')"', [mountpoint], user);
    unmountAt(mountpoint, user);
    expect(readdirSync(join(work, 'index'))).toEqual([]);
    expect(readdirSync(upper).sort()).toEqual(user === 'root' ? ['a', 'b', 'c', 'd', 'other'] : expect.any(Array));
  });
});

test('can be asked for, and done without', (ctx) => {
  requireFuse(ctx, 'root');
  const { mountpoint, lower, upper, work } = place();
  shell(MAKE, [lower]);
  mountAt({ mountpoint, lower: [lower], upper, work, index: 'off' });
  shell('cd "$1"; chmod 600 a', [mountpoint]);
  const [a, b] = ['a', 'b'].map((name) => numbersOf(join(mountpoint, name), 'root'));
  expect(a?.nlink).toBe(1);
  expect(b?.ino).not.toBe(a?.ino);
  unmountAt(mountpoint);
  expect(readdirSync(work)).toEqual(['work']);
});

test('an upper that was made over another lower layer goes without, or is refused', (ctx) => {
  requireFuse(ctx, 'root');
  const { mountpoint, base, lower, upper, work } = place();
  shell(MAKE, [lower]);
  shell('cp -a "$1" "$2"', [lower, join(base, 'copy')]);
  mountAt({ mountpoint, lower: [lower], upper, work });
  shell('cd "$1"; chmod 600 a', [mountpoint]);
  unmountAt(mountpoint);
  const options = { mountpoint, lower: [join(base, 'copy')], upper, work };
  const refused = call('mount', [{ ...options, index: 'on' }]) as object;
  expect(isFailure(refused) && refused.message).toContain('the upper was made over another lower layer');
  mountAt(options);
  expect(shell('cat "$1/b" "$1/d/e"', [mountpoint])).toBe('text\ntext\n');
  unmountAt(mountpoint);
});
test('the kernel goes on with what ours has written, and ours with what the kernel has', (ctx) => {
  requireFuse(ctx, 'root');
  const { mountpoint, lower, upper, work } = place();
  shell(MAKE, [lower]);
  const kernel = `lowerdir=${lower},upperdir=${upper},workdir=${work},index=on`;
  const mountOurs = (): void => void mountAt({ mountpoint, lower: [lower], upper, work, index: 'on' });
  const { ino } = statSync(join(lower, 'a'));
  mountOurs();
  shell('cd "$1"; echo ours >> a; rm b', [mountpoint]);
  unmountAt(mountpoint);
  requireOrSkip(ctx, run('mount', ['-t', 'overlay', 'o', '-o', kernel, mountpoint]).status === 0, 'overlayfs');
  expect(look(mountpoint, ['a', 'c', 'd/e'], 'root')).toEqual({
    nlink: [3, 3, 3],
    numbers: 1,
    content: 'text\nours\n',
  });
  shell('cd "$1"; echo kernel >> d/e; rm a; ln c f', [mountpoint]);
  shell('umount "$1"', [mountpoint]);
  mountOurs();
  expect(look(mountpoint, ['c', 'd/e', 'f'], 'root')).toEqual({
    nlink: [3, 3, 3],
    numbers: 1,
    content: 'text\nours\nkernel\n',
  });
  expect(statSync(join(mountpoint, 'f')).ino).toBe(ino);
  unmountAt(mountpoint);
});

test('layers on several file systems: numbers are unique, stay, and are those that readdir gives', (ctx) => {
  requireFuse(ctx, 'root');
  const { mountpoint, base, lower, upper, work } = place();
  const others = ['one', 'two'].map((name) => join(base, name));
  for (const other of others) {
    mkdirSync(other);
    requireOrSkip(ctx, run('mount', ['-t', 'tmpfs', 'tmpfs', other]).status === 0, 'tmpfs');
  }
  const [one, two] = others as [string, string];
  // The same inode numbers in both, as new file systems have them.
  shell(
    'for at in "$1" "$2"; do n=${at##*/}; mkdir $at/$n $at/both; echo x > $at/f$n; ln $at/f$n $at/$n/g; echo x > $at/both/$n; done',
    others,
  );
  shell('echo x > "$1/f"', [lower]);
  const names = ['fone', 'ftwo', 'f', 'one', 'two', 'one/g', 'two/g', 'both', 'both/one', 'both/two'];
  const numbers = (): number[] => names.map((name) => statSync(join(mountpoint, name)).ino);
  const mount = (): void => void mountAt({ mountpoint, lower: [one, two, lower], upper, work });
  mount();
  const before = numbers();
  expect(new Set(before).size).toBe(names.length - 2); // two files have two names each
  shell('cd "$1"; for f in fone ftwo f both/one both/two; do echo y >> $f; done; chmod 700 one two both', [mountpoint]);
  expect(numbers()).toEqual(before);
  unmountAt(mountpoint);
  mount();
  const listed = new Map<string, number>();
  for (const dir of ['', 'one/', 'two/', 'both/']) {
    for (const line of shell('ls -iA "$1"', [join(mountpoint, dir)])
      .trim()
      .split('\n')) {
      const [number, name] = line.trim().split(' ') as [string, string];
      listed.set(dir + name, Number(number));
    }
  }
  expect(names.map((name) => listed.get(name))).toEqual(before);
  expect(numbers()).toEqual(before);
  unmountAt(mountpoint);
});

test('uuid: a new upper gets one of its own, and handles do without that of the file system', (ctx) => {
  requireFuse(ctx, 'root');
  const { mountpoint, lower, upper, work } = place();
  shell(MAKE, [lower]);
  const xattr = (name: string, path: string): string =>
    run('getfattr', ['--absolute-names', '-n', `trusted.overlay.${name}`, '-e', 'hex', path]).stdout;
  requireOrSkip(ctx, run('getfattr', ['--version']).status === 0, 'getfattr');
  mountAt({ mountpoint, lower: [lower], upper, work, uuid: 'off', index: 'on' });
  shell('echo more >> "$1/other"; echo more >> "$1/a"', [mountpoint]);
  const { ino } = statSync(join(mountpoint, 'other'));
  unmountAt(mountpoint);
  expect(xattr('uuid', upper)).toBe('');
  expect(xattr('origin', join(upper, 'other'))).toMatch(/=0x00fb..00..0{32}/);
  mountAt({ mountpoint, lower: [lower], upper, work, uuid: 'off', index: 'on' });
  expect(statSync(join(mountpoint, 'other')).ino).toBe(ino);
  expect(statSync(join(mountpoint, 'b')).size).toBe('text\nmore\n'.length);
  unmountAt(mountpoint);
  const options = `lowerdir=${lower},upperdir=${upper},workdir=${work},index=on,uuid=off`;
  requireOrSkip(
    ctx,
    run('mount', ['-t', 'overlay', 'o', '-o', options, mountpoint]).status === 0,
    'overlayfs with uuid=off',
  );
  expect(statSync(join(mountpoint, 'b')).size).toBe('text\nmore\n'.length);
  shell('umount "$1"', [mountpoint]);
  const fresh = place();
  mountAt({ mountpoint: fresh.mountpoint, lower: [lower], upper: fresh.upper, work: fresh.work, uuid: 'auto' });
  unmountAt(fresh.mountpoint);
  expect(xattr('uuid', fresh.upper)).toMatch(/=0x[0-9a-f]{32}\n/);
});

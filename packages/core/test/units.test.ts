// The pure decisions, as tables; the encoding of names; the lock and the two ways to run an operation.
import { type Attributes, decodeName, encodeName, FsError, makedev, runAsync, runSync, wait } from '@ovl/core';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  decodeMetacopy,
  decodeOrigin,
  encodeMetacopy,
  directoryMarks,
  encodeOrigin,
  escapeXattr,
  meaningOfName,
  parseRedirect,
  unescapeXattr,
  unknownXattr,
} from '../src/format.js';
import { Mutex } from '../src/lock.js';
import { type LayerListing, mergeListings } from '../src/merge.js';
import { byteLength, checkName } from '../src/names.js';
import { applyOverride, escapeOverridden, overrideValue, unescapeOverridden } from '../src/override.js';
import { ownerMap } from '../src/owners.js';
import { planDirectoryMove } from '../src/redirect.js';
import type { Operation } from '../src/run.js';
import { parameters } from './worlds.js';

describe('names', () => {
  it('any bytes survive a round trip', () => {
    const property = fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
      const name = decodeName(bytes);
      expect([...encodeName(name)]).toEqual([...bytes]);
      expect(byteLength(name)).toBe(bytes.length);
    });
    fc.assert(property, parameters(2000));
  });
  it('any well-formed text survives a round trip, as UTF-8', () => {
    const property = fc.property(fc.string({ unit: 'binary', maxLength: 40 }), (text) => {
      expect(decodeName(encodeName(text))).toBe(text);
      expect([...encodeName(text)]).toEqual([...new TextEncoder().encode(text)]);
    });
    fc.assert(property, parameters(2000));
  });
  it('a lone surrogate that stands for no byte is EILSEQ', () => {
    for (const name of ['\ud800', 'a\udc00', '\udc7f', '\ud83d!']) expect(() => encodeName(name)).toThrow(/EILSEQ/);
    expect([...encodeName('\udc80\udcff')]).toEqual([0x80, 0xff]);
  });
  it.each([
    ['a', undefined],
    ['...', undefined],
    ['x'.repeat(255), undefined],
    ['é'.repeat(127), undefined],
    ['', 'EINVAL'],
    ['.', 'EINVAL'],
    ['..', 'EINVAL'],
    ['a/b', 'EINVAL'],
    ['a\0', 'EINVAL'],
    ['x'.repeat(256), 'ENAMETOOLONG'],
    ['é'.repeat(128), 'ENAMETOOLONG'],
    ['\udcff'.repeat(256), 'ENAMETOOLONG'],
  ])('checkName(%j)', (name, code) => {
    if (code === undefined) checkName(name);
    else expect(() => checkName(name)).toThrow(expect.objectContaining({ code }));
  });
});

/** "name", "name/" for a directory, "-name" for a whiteout entry. */
function listing(layer: number, ...names: string[]): LayerListing {
  const whiteouts = names.filter((name) => name.startsWith('-')).map((name) => name.slice(1));
  const entries = names.map((name, ino) => ({
    name: name.replace(/^-|\/$/g, ''),
    type: name.startsWith('-') ? 2 : name.endsWith('/') ? 4 : 8,
    ino,
  }));
  return { layer, entries, whiteouts: new Set(whiteouts) };
}

describe('mergeListings', () => {
  const cases: [what: string, layers: string[][], names: Record<string, string>, whiteouts?: Record<string, string>][] =
    [
      ['one layer', [['a', 'd/']], { a: '0', d: '0' }],
      ['the first one wins', [['a'], ['a', 'b']], { a: '0 covers', b: '1' }],
      ['directories accumulate', [['d/'], ['x'], ['d/'], ['d/']], { d: '0,2,3 covers', x: '1' }],
      ['up to a file', [['d/'], ['d'], ['d/']], { d: '0 covers' }],
      ['a file merges with nothing', [['f'], ['f/'], ['f/']], { f: '0 covers' }],
      ['a whiteout hides', [['-a'], ['a']], {}, { a: 'entry covers' }],
      ['a whiteout over nothing', [['-a'], ['b']], { b: '1' }, { a: 'entry' }],
      ['a whiteout over a whiteout', [['-a'], ['-a'], ['a']], {}, { a: 'entry' }],
      ['a whiteout below ends a directory', [['d/'], ['-d'], ['d/']], { d: '0' }],
      ['a whiteout in the middle', [[], ['-a'], ['a']], {}],
      ['a marker hides what is below only', [['.wh.a', 'a'], ['a']], { a: '0' }],
      ['a marker alone', [['.wh.a'], ['a']], {}, { a: 'marker covers' }],
      ['a marker ends a directory', [['d/'], ['.wh.d', 'd/'], ['d/']], { d: '0,1 covers' }],
      ['a marker for what is above', [['a'], ['.wh.a'], ['a']], { a: '0' }],
      ['opaque, wherever it stands', [['a', '.wh..wh..opq', 'b'], ['c']], { a: '0', b: '0' }],
      ['opaque below', [['a'], ['.wh..wh..opq', 'b'], ['c']], { a: '0', b: '1' }],
      ['bookkeeping names are invisible', [['.wh..wh.plnk', '.wh.', 'a']], { a: '0' }],
    ];
  it.each(cases)('%s', (_what, layers, names, whiteouts = {}) => {
    const merged = mergeListings(layers.map((each, layer) => listing(layer, ...each)));
    const shown = [...merged.names].map(([name, { layer, below, covers }]) => {
      return [name, `${[layer, ...(below ?? [])].join(',')}${covers ? ' covers' : ''}`];
    });
    expect(Object.fromEntries(shown)).toEqual(names);
    const hidden = [...merged.whiteouts].map(([name, { form, covers }]) => [name, `${form}${covers ? ' covers' : ''}`]);
    expect(Object.fromEntries(hidden)).toEqual(whiteouts);
  });
});

describe('planDirectoryMove', () => {
  const facts = {
    merges: true,
    opaque: false,
    sameParent: true,
    redirect: undefined,
    targetParentMerges: true,
    moves: 'record',
  } as const;
  it.each([
    [{}, { kind: 'redirect', scope: 'name' }],
    [{ sameParent: false }, { kind: 'redirect', scope: 'path' }],
    [{ redirect: 'old' }, { kind: 'plain' }],
    [
      { redirect: 'old', sameParent: false },
      { kind: 'redirect', scope: 'path' },
    ],
    [{ redirect: '/a/b', sameParent: false }, { kind: 'plain' }],
    [{ moves: 'refuse' }, { kind: 'cross-device' }],
    [{ moves: 'copy' }, { kind: 'copy' }],
    [{ merges: false }, { kind: 'opaque' }],
    [{ merges: false, opaque: true }, { kind: 'plain' }],
    [{ merges: false, targetParentMerges: false }, { kind: 'plain' }],
    [{ merges: false, moves: 'refuse' }, { kind: 'opaque' }],
  ] as const)('%j', (differing, plan) => {
    expect(planDirectoryMove({ ...facts, ...differing })).toEqual(plan);
  });
});

describe('format', () => {
  it.each([
    ['a', { kind: 'entry' }],
    ['.wh', { kind: 'entry' }],
    ['.whx', { kind: 'entry' }],
    ['.wh.a', { kind: 'whiteout', of: 'a' }],
    ['.wh..hidden', { kind: 'whiteout', of: '.hidden' }],
    ['.wh..wh..opq', { kind: 'opaque' }],
    ['.wh..opq', { kind: 'opaque' }],
    ['.wh..wh.aufs', { kind: 'reserved' }],
    ['.wh.', { kind: 'reserved' }],
  ])('meaningOfName(%j)', (name, meaning) => {
    expect(meaningOfName(name)).toEqual(meaning);
  });

  it.each([
    ['a', { absolute: false, components: ['a'] }],
    ['/a/b c', { absolute: true, components: ['a', 'b c'] }],
    [`/${'x'.repeat(255)}`, { absolute: true, components: ['x'.repeat(255)] }],
  ])('parseRedirect(%j)', (redirect, parsed) => {
    expect(parseRedirect(redirect)).toEqual(parsed);
  });
  it.each(['', '/', 'a/b', '//a', '/a//b', '/a/', '.', '..', '/a/..', '/./a', `/${'x'.repeat(256)}`])(
    'parseRedirect(%j) is EIO',
    (redirect) => {
      expect(() => parseRedirect(redirect)).toThrow(expect.objectContaining({ code: 'EIO' }));
    },
  );

  it('directoryMarks', () => {
    const marks = (xattrs: Record<string, string>, prefix: 'trusted.overlay.' | 'user.overlay.' = 'trusted.overlay.') =>
      directoryMarks(new Map(Object.entries(xattrs).map(([name, value]) => [name, encodeName(value)])), prefix);
    const none = { opaque: undefined, redirect: undefined, impure: false };
    expect(marks({})).toEqual(none);
    expect(marks({ 'trusted.overlay.opaque': 'y' }).opaque).toBe('y');
    expect(marks({ 'trusted.overlay.opaque': 'x' }).opaque).toBe('x');
    expect(marks({ 'trusted.overlay.opaque': 'n' }).opaque).toBeUndefined();
    expect(marks({ 'trusted.overlay.opaque': 'yes' }).opaque).toBeUndefined();
    expect(marks({ 'user.overlay.opaque': 'y' })).toEqual(none);
    expect(marks({ 'user.overlay.opaque': 'y' }, 'user.overlay.').opaque).toBe('y');
    expect(marks({ 'user.fuseoverlayfs.opaque': 'y', 'trusted.overlay.opaque': 'x' }).opaque).toBe('y');
    expect(marks({ 'trusted.overlay.redirect': '/é', 'trusted.overlay.impure': 'y' })).toEqual({
      opaque: undefined,
      redirect: '/é',
      impure: true,
    });
  });

  it('origin: a round trip, and what is not understood is unknown', () => {
    const handle = { uuid: Uint8Array.from({ length: 16 }, (_, i) => i), type: 129, bytes: encodeName('handle') };
    const value = encodeOrigin(handle);
    expect([...value.subarray(0, 5)]).toEqual([0, 0xfb, 27, 0, 129]);
    expect(decodeOrigin(value)).toEqual(handle);
    const changed = (at: number, byte: number): Uint8Array => value.map((old, i) => (i === at ? byte : old));
    expect(decodeOrigin(new Uint8Array(0))).toBeUndefined();
    expect(decodeOrigin(changed(0, 1)), 'version').toBeUndefined();
    expect(decodeOrigin(changed(1, 0)), 'magic').toBeUndefined();
    expect(decodeOrigin(changed(2, 99)), 'length').toBeUndefined();
    expect(decodeOrigin(changed(3, 8)), 'unknown flag').toBeUndefined();
    expect(decodeOrigin(changed(3, 1)), 'big-endian').toBeUndefined();
    expect(decodeOrigin(changed(3, 3)), 'any endian').toEqual(handle);
    expect(decodeOrigin(changed(3, 4)), 'upper').toEqual(handle);
  });

  it('metacopy', () => {
    expect(decodeMetacopy(new Uint8Array(0))).toBeUndefined();
    expect(decodeMetacopy(Uint8Array.of(0, 4, 0, 0))).toBeUndefined();
    for (const length of [1, 2, 3]) expect(() => decodeMetacopy(new Uint8Array(length)), `${length}`).toThrow(/EIO/);
    expect(() => decodeMetacopy(Uint8Array.of(1, 4, 0, 0)), 'unknown version').toThrow(/EIO/);
    expect(() => decodeMetacopy(Uint8Array.of(0, 6, 0, 1, 7)), 'wrong length').toThrow(/EIO/);
    const digest = { algorithm: 1, bytes: Uint8Array.of(7, 8) };
    expect(encodeMetacopy(digest)).toEqual(Uint8Array.of(0, 6, 0, 1, 7, 8));
    expect(decodeMetacopy(encodeMetacopy(digest))).toEqual(digest);
    expect(encodeMetacopy(undefined)).toEqual(new Uint8Array(0));
  });

  it.each([
    ['0:0:755', { uid: 0, gid: 0, mode: 0o100755 }],
    ['1000:100:04711', { uid: 1000, gid: 100, mode: 0o104711 }],
    ['1:2:40700', { uid: 1, gid: 2, mode: 0o100700 }],
    ['1:2:0700:dir', { uid: 1, gid: 2, mode: 0o040700 }],
    ['0:0:600:block-8-1', { mode: 0o060600, rdev: 0x801 }],
    ['0:0:600:char-5-260', { mode: 0o020600, rdev: 0x100504 }],
    ['0:0:777:symlink', { mode: 0o120777 }],
    ['0:0:777:pipe', { mode: 0o010777 }],
    ['0:0:777:socket', { mode: 0o140777 }],
  ])('override_stat %j', (value, expected) => {
    const attributes = { mode: 0o100644, uid: 5, gid: 6, rdev: 0 } as Attributes;
    expect(applyOverride(attributes, encodeName(value))).toMatchObject(expected);
  });
  it.each(['', 'x', '1:2', '1:2:9', '0:0:600:tape'])('override_stat %j is EIO', (value) => {
    expect(() => applyOverride({ mode: 0o100644 } as Attributes, encodeName(value))).toThrow(/EIO/);
  });

  it.each([
    [0o100644, 0o100755, '1:2:644'],
    [0o040755, 0o040700, '1:2:755'],
    [0o020600, 0o100600, '1:2:600:char-5-259'],
    [0o064711, 0o100700, '1:2:4711:block-5-259'],
    [0o010644, 0o100644, '1:2:644:pipe'],
    [0o140777, 0o100600, '1:2:777:socket'],
  ])('override_stat of %o stored as %o', (mode, stored, text) => {
    const rdev = makedev(5, 259);
    const value = overrideValue({ uid: 1, gid: 2, mode, rdev }, stored);
    expect(decodeName(value)).toBe(text);
    expect(applyOverride({ mode: stored, rdev: 0 } as Attributes, value)).toMatchObject({ uid: 1, gid: 2, mode });
  });
  it.each([
    ['user.containers.override_stat', 'security.capability', 'user.containers.override_security.capability'],
    [
      'user.containers.override_stat',
      'user.containers.override_stat',
      'user.containers.override_user.containers.override_stat',
    ],
    ['user.containers.override_stat', 'user.k', 'user.k'],
    ['security.fuseoverlayfs.override_stat', 'security.capability', 'security.capability'],
  ] as const)('beside %s, a user keeps %s as %s', (own, name, stored) => {
    expect(escapeOverridden(name, own)).toBe(stored);
    expect(unescapeOverridden(stored, own)).toBe(name);
  });
  it("the override itself is hidden, and what the layer has under security.* is not a user's", () => {
    expect(unescapeOverridden('user.containers.override_stat', 'user.containers.override_stat')).toBeUndefined();
    expect(unescapeOverridden('security.selinux', 'user.containers.override_stat')).toBeUndefined();
    expect(escapeOverridden('user.fuseoverlayfs.override_stat', 'user.fuseoverlayfs.override_stat')).toBeUndefined();
  });

  it('attributes of nested overlays', () => {
    const prefix = 'trusted.overlay.';
    for (const name of ['user.k', 'trusted.overlay.opaque', 'trusted.overlay.overlay.opaque', 'trusted.overlayfoo']) {
      expect(unescapeXattr(escapeXattr(name, prefix), prefix)).toBe(name);
    }
    expect(escapeXattr('trusted.overlay.opaque', prefix)).toBe('trusted.overlay.overlay.opaque');
    expect(unescapeXattr('trusted.overlay.opaque', prefix)).toBeUndefined();
    expect(unescapeXattr('user.fuseoverlayfs.opaque', prefix)).toBeUndefined();
    expect(unknownXattr(['user.x', 'trusted.overlay.opaque', 'trusted.overlay.overlay.new'], prefix)).toBeUndefined();
    expect(unknownXattr(['trusted.overlay.new'], prefix)).toBe('trusted.overlay.new');
  });
});

describe('owners', () => {
  const shown = (map: ReturnType<typeof ownerMap>, uid: number, gid: number) => {
    const attributes = { uid, gid };
    map.show(attributes);
    return [attributes.uid, attributes.gid];
  };
  const ranges = [
    { stored: 0, shown: 1000, count: 1 },
    { stored: 1, shown: 200000, count: 65535 },
  ];
  it.each([
    [0, 1000],
    [1, 200000],
    [65535, 265534],
  ])('%d is shown as %d, and back', (stored, seen) => {
    const map = ownerMap({ uid: ranges, gid: ranges });
    expect(shown(map, stored, stored)).toEqual([seen, seen]);
    expect([map.storedUid(seen), map.storedGid(seen)]).toEqual([stored, stored]);
  });
  it('what no range names is the overflow id; what has no ranges stays', () => {
    const map = ownerMap({ uid: ranges, overflow: { uid: 65534, gid: 65533 } });
    expect(shown(map, 65536, 65536)).toEqual([65534, 65536]);
    expect([map.storedUid(0), map.storedGid(7)]).toEqual([65534, 7]);
  });
  it('a squashed owner is shown to all and stored by none', () => {
    const map = ownerMap({ uid: ranges, squash: { uid: 0 } });
    expect(shown(map, 5, 5)).toEqual([0, 5]);
    expect(map.storedUid(1000)).toBe(0);
  });
});

describe('Mutex', () => {
  function* step(log: string[], name: string, fails = false): Operation<string> {
    log.push(`${name} in`);
    yield* wait(Promise.resolve());
    yield* wait(Promise.resolve());
    log.push(`${name} out`);
    if (fails) throw new FsError('EIO');
    return name;
  }
  it('serves in order of arrival, also past a failure', async () => {
    const mutex = new Mutex();
    const log: string[] = [];
    const results = await Promise.allSettled([
      runAsync(mutex.hold(step(log, 'a'))),
      runAsync(mutex.hold(step(log, 'b', true))),
      runAsync(mutex.hold(step(log, 'c'))),
    ]);
    expect(log).toEqual(['a in', 'a out', 'b in', 'b out', 'c in', 'c out']);
    expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
    expect(await runAsync(mutex.hold(step(log, 'd')))).toBe('d');
  });
  it('costs nothing where nobody waits', () => {
    const mutex = new Mutex();
    function* seven(): Operation<number> {
      return yield* wait(7);
    }
    expect(runSync(mutex.hold(seven()))).toBe(7);
    expect(runSync(mutex.hold(seven()))).toBe(7);
  });
});

describe('runSync and runAsync', () => {
  it('a promise under the synchronous face is a TypeError, and `finally` is run', () => {
    let cleaned = false;
    function* operation(): Operation<number> {
      try {
        return yield* wait(Promise.resolve(1));
      } finally {
        cleaned = true;
      }
    }
    expect(() => runSync(operation())).toThrow(TypeError);
    expect(cleaned).toBe(true);
  });
  it('a rejection is thrown where it was waited for', async () => {
    function* operation(): Operation<string> {
      try {
        return yield* wait(Promise.reject<string>(new FsError('ENOSPC')));
      } catch (error) {
        return (error as FsError).code;
      }
    }
    expect(await runAsync(operation())).toBe('ENOSPC');
  });
  it('runAsync runs at once up to the first promise, and rejects with what is thrown', async () => {
    const log: string[] = [];
    function* operation(): Operation<void> {
      log.push('started');
      yield* wait(Promise.resolve());
      throw new FsError('EIO', { syscall: 'test', path: '/p', cause: 'why' });
    }
    const running = runAsync(operation());
    expect(log).toEqual(['started']);
    await expect(running).rejects.toMatchObject({ code: 'EIO', errno: -5, syscall: 'test', path: '/p', cause: 'why' });
  });
});

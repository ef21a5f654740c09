/** Directories that were renamed: redirects by name and by path. */
import { apply, canonical, snapshot } from '../operations.js';
import { equal } from '../runner.js';
import { dir, file, whiteout } from '../tree.js';
import { op, type Suite, type World } from './world.js';

export function redirectTests({ scenario, test }: Suite): void {
  const old = dir({ f: file('f'), sub: dir({ g: file('g') }) });
  scenario('by name, in the same directory', {
    upper: { d: dir({ new: dir({ own: file('own') }, { redirect: 'old' }), old: whiteout() }) },
    lower: [{ d: dir({ old }) }],
    shows: { d: dir({ new: dir({ own: file('own'), f: file('f'), sub: dir({ g: file('g') }) }) }) },
  });
  scenario(
    'by path, through an opaque ancestor',
    {
      upper: { o: dir({ new: dir({}, { redirect: '/d/old' }) }, { opaque: 'y' }), d: dir({ old: whiteout() }) },
      lower: [{ d: dir({ old }), o: dir({ hidden: file('') }) }],
      shows: { o: dir({ new: old }), d: dir() },
    },
    [op.append('/o/new/sub/g', '+'), op.rename('/o/new', '/o/newer'), op.rename('/o/newer', '/d/again')],
  );
  scenario('a chain through three layers', {
    upper: { c: dir({ u: file('u') }, { redirect: 'b' }), b: whiteout() },
    lower: [
      { b: dir({ m: file('m') }, { redirect: '/a' }), a: whiteout() },
      { a: dir({ l: file('l') }), b: dir({ no: file('') }) },
    ],
    shows: { c: dir({ u: file('u'), m: file('m'), l: file('l') }) },
  });
  scenario('in a middle layer, below a merged parent', {
    lower: [
      { p: dir({ q: dir({ top: file('') }) }) },
      { p: dir({ q: dir({}, { redirect: 'r' }), r: whiteout() }) },
      { p: dir({ r: dir({ found: file('found') }), q: dir({ no: file('') }) }) },
    ],
    shows: { p: dir({ q: dir({ top: file(''), found: file('found') }) }) },
  });
  scenario('the path of a redirect goes through redirected directories below', {
    upper: { x: dir({}, { redirect: '/p2/q' }), p2: whiteout() },
    lower: [{ p2: dir({}, { redirect: 'p1' }), p1: whiteout() }, { p1: dir({ q: dir({ f: file('f') }) }) }],
    shows: { x: dir({ f: file('f') }) },
  });
  scenario('a whiteout, a file or an opaque directory on the path ends it', {
    upper: { a: dir({}, { redirect: '/w' }), b: dir({}, { redirect: '/f' }), c: dir({}, { redirect: '/o/x' }) },
    lower: [
      { w: whiteout(), f: file('file'), o: dir({}, { opaque: 'y' }) },
      { w: dir({ no: file('') }), f: dir({ no: file('') }), o: dir({ x: dir({ no: file('') }) }) },
    ],
    shows: { a: dir(), b: dir(), c: dir(), f: file('file'), o: dir() },
  });
  scenario('one that leads nowhere is an empty directory', {
    upper: { a: dir({}, { redirect: '/nowhere/at/all' }) },
    lower: [{ b: file('') }],
    shows: { a: dir(), b: file('') },
  });
  test(
    'with nofollow they are refused',
    { upper: { new: dir({ own: file('own') }, { redirect: 'old' }) }, lower: [{ old }] },
    async (world) => {
      const driver = await world.open();
      equal(await apply(driver, op.stat('/new')), { error: 'EPERM' }, 'stat');
      equal(await apply(driver, { kind: 'read', path: '/old/f' }), { ok: 'f' }, 'what it would lead to');
    },
    { redirectDir: 'nofollow' },
  );
  for (const redirectDir of ['follow', 'nofollow'] as const) {
    const trees = { upper: {}, lower: [{ old }] };
    const body = async (world: World): Promise<void> => {
      const driver = await world.open();
      equal(await apply(driver, op.rename('/old', '/new')), { error: 'EXDEV' }, 'rename of a lower directory');
      equal(await apply(driver, op.rename('/old/f', '/old/g')), { ok: undefined }, 'rename of a lower file');
      await driver.perform(op.mkdir('/made'));
      equal(await apply(driver, op.rename('/made', '/old/made')), { ok: undefined }, 'rename of an upper directory');
    };
    test(`with ${redirectDir} the rename of a lower directory is EXDEV`, trees, body, { redirectDir });
  }
  for (const redirect of ['a/b', '', '/', '//a', '/a/../b', '..', `/${'x'.repeat(256)}`]) {
    test(`a malformed one (${JSON.stringify(redirect.slice(0, 8))}) is EIO`, {
      upper: { d: dir({}, { redirect }) },
      lower: [{ d: dir() }],
    }, async (world) => {
      equal(await apply(await world.open(), op.stat('/d')), { error: 'EIO' }, 'stat');
    });
  }
  const long = 'n'.repeat(100);
  test('a path too long for a redirect is EXDEV without deep copy-up, and nothing has changed', {
    lower: [{ [long]: dir({ [long]: dir({ [long]: dir({ f: file('f') }) }) }) }],
  }, async (world) => {
    const driver = await world.open();
    const before = canonical(await snapshot(driver));
    equal(await apply(driver, op.rename(`/${long}/${long}/${long}`, '/x')), { error: 'EXDEV' }, 'rename');
    equal(canonical(await snapshot(driver)), before, 'the tree');
    equal(canonical(await snapshot(await world.open())), before, 'the tree reopened');
    equal(
      await apply(driver, op.rename(`/${long}/${long}/${long}`, `/${long}/${long}/x`)),
      { ok: undefined },
      'by name',
    );
  });
}

/** Files whose data stayed below, as other mounts and this one leave them. */
import type { Found } from '../../layer.js';
import { metacopies } from '../../metacopy.js';
import { encodeName } from '../../names.js';
import { apply, type FileOperation } from '../operations.js';
import { equal } from '../runner.js';
import { dir, file, type TreeSpec } from '../tree.js';
import { op, type Suite } from './world.js';

export function metacopyTests(suite: Suite): void {
  const { scenario, test } = suite;
  const trees = {
    upper: {
      d: dir({ f: file('', { metacopy: 7, mode: 0o600 }), moved: file('', { metacopy: 5, redirect: '/d/g' }) }),
    },
    lower: [{ d: dir({ f: file('content', { mode: 0o644 }), g: file('other') }) }],
    shows: { d: dir({ f: file('content', { mode: 0o600 }), moved: file('other'), g: file('other') }) },
  };
  scenario('data is read from below', trees);
  scenario('the first write brings the data up', trees, [op.append('/d/f', '!'), op.append('/d/moved', '!')]);
  scenario('it can be renamed', trees, [op.rename('/d/f', '/d/h'), op.rename('/d/moved', '/away')]);
  scenario('it can be truncated', trees, [
    { kind: 'truncate', path: '/d/f', size: 3 },
    { kind: 'truncate', path: '/d/moved', size: 8 },
  ]);
  test('without data below it is EIO', {
    upper: { f: file('', { metacopy: 7 }) },
    lower: [{ g: file('') }],
  }, async (world) => {
    const driver = await world.open();
    equal(await apply(driver, { kind: 'read', path: '/f' }), { error: 'EIO' }, 'read');
    equal(await apply(driver, op.append('/f', 'x')), { error: 'EIO' }, 'append');
  });
  scenario('a relative redirect goes on in the directory that an absolute one led to', {
    upper: { f: file('', { metacopy: 4, redirect: '/d/g' }) },
    lower: [{ d: dir({ g: file('', { metacopy: 4, redirect: 'h' }) }) }, { d: dir({ h: file('data') }) }],
    shows: { f: file('data'), d: dir({ g: file('data'), h: file('data') }) },
  });
  test('a metacopy of an empty file keeps what is written to it', {
    upper: { f: file('', { metacopy: 0 }) },
    lower: [{ f: file('') }],
  }, async (world) => {
    await (await world.open()).perform(op.append('/f', 'new'));
    equal(await apply(await world.open(), { kind: 'read', path: '/f' }), { ok: 'new' }, 'read');
  });
  test(
    'with metacopy off it is EPERM',
    trees,
    async (world) => {
      const driver = await world.open();
      equal(await apply(driver, { kind: 'read', path: '/d/f' }), { error: 'EPERM' }, 'read');
      equal(await apply(driver, { kind: 'read', path: '/d/g' }), { ok: 'other' }, 'read of a plain file');
    },
    { metacopy: metacopies('refuse') },
  );
  makingTests(suite);
  dataOnlyTests(suite);
}

/** What a change of attributes leaves in the upper with "metacopy" on. */
function makingTests({ scenario, test }: Suite): void {
  const lower: TreeSpec[] = [
    { d: dir({ f: file('content'), sub: dir({ g: file('other', { xattrs: { 'user.k': 'v' } }) }) }), e: file('') },
  ];
  const attributesOnly: FileOperation[] = [
    op.chmod('/d/f', 0o600),
    { kind: 'utimes', path: '/d/sub/g', seconds: 5 },
    { kind: 'setxattr', path: '/d/f', name: 'user.a', value: 'b' },
    op.chmod('/e', 0o4711),
  ];
  const options = { metacopy: metacopies('make') } as const;
  const on = (name: string, operations: FileOperation[]): void =>
    scenario(name, { lower }, [...attributesOnly, ...operations], options);
  on('attributes change', []);
  on('then the data', [
    op.append('/d/f', '!'),
    { kind: 'write', path: '/d/sub/g', position: 2, text: 'XX' },
    op.append('/e', 'e'),
  ]);
  on('it is truncated, to nothing, less or more', [
    { kind: 'truncate', path: '/d/f', size: 0 },
    { kind: 'truncate', path: '/d/sub/g', size: 3 },
    { kind: 'truncate', path: '/d/sub/g', size: 9 },
  ]);
  on('it is renamed in its directory, out of it, and with its directories', [
    op.rename('/d/f', '/d/f2'),
    op.rename('/d/f2', '/f3'),
    op.rename('/d/sub', '/s'),
    op.rename('/s/g', '/d/g'),
    op.rename('/d', '/d2'),
    op.chmod('/d2/g', 0o640),
    op.append('/d2/g', '+'),
    op.append('/f3', '+'),
  ]);
  on('it is exchanged, linked, replaced and removed', [
    op.rename('/d/f', '/d/sub/g', 'exchange'),
    op.link('/d/f', '/linked'),
    op.unlink('/d/f'),
    op.append('/linked', '+'),
    op.rename('/d/sub/g', '/e'),
    op.chmod('/e', 0o644),
    op.unlink('/e'),
  ]);
  on('an open file goes on through it', [
    op.open(0, '/d/f'),
    op.pread(0),
    op.rename('/d/f', '/moved'),
    op.pread(0),
    op.open(1, '/moved', 'r+'),
    op.pwrite(1, 'C'),
    op.pread(0),
    op.unlink('/moved'),
    op.pread(0),
    op.close(1),
    op.close(0),
  ]);
  scenario(
    'a lower metacopy gets one above',
    {
      upper: {},
      lower: [{ f: file('', { metacopy: 4, redirect: '/g' }) }, { g: file('data'), f: file('no') }],
      shows: { f: file('data'), g: file('data') },
    },
    [op.chmod('/f', 0o600), op.rename('/f', '/h'), op.append('/h', '!')],
    options,
  );
  test(
    'no data is copied, and the mark goes with the first write',
    { lower },
    async (world) => {
      const driver = await world.open();
      for (const operation of attributesOnly) await driver.perform(operation);
      const { upper } = world;
      const at = async (path: string): Promise<Found> => {
        let found: Found = { node: upper.root, attributes: await upper.getattr(upper.root) };
        for (const name of path.split('/')) found = (await upper.lookup(found.node, name)) as Found;
        return found;
      };
      const mark = async (path: string): Promise<Uint8Array | undefined> =>
        await upper.getxattr((await at(path)).node, `${upper.xattrPrefix}metacopy`);
      equal([await mark('d/f'), await mark('d/sub/g')], [new Uint8Array(0), new Uint8Array(0)], 'marks');
      equal(await mark('e'), undefined, 'mark of an empty file');
      const stored = await upper.open((await at('d/f')).node);
      const bytes = new Uint8Array(8).fill(1);
      equal([await stored.read(bytes, 0), bytes.indexOf(1)], [7, 7], 'length, and nothing in it');
      await stored.close();
      await driver.perform(op.append('/d/f', '!'));
      equal(await mark('d/f'), undefined, 'mark after a write');
      await driver.perform(op.rename('/d/sub/g', '/g'));
      const redirect = await upper.getxattr((await at('g')).node, `${upper.xattrPrefix}redirect`);
      equal(redirect, encodeName('/d/sub/g'), 'redirect');
    },
    options,
  );
}

function dataOnlyTests({ scenario, test }: Suite): void {
  const trees = {
    upper: {},
    lower: [
      {
        bin: dir({
          tool: file('', { metacopy: 4, redirect: '/ab/1' }),
          other: file('', { metacopy: 5, redirect: '/ab/2' }),
        }),
        plain: file('plain'),
      },
      { below: file('below') },
    ],
    dataOnly: [{ ab: dir({ '1': file('tool'), '2': dir() }) }, { ab: dir({ '1': file('no'), '2': file('other') }) }],
    shows: { bin: dir({ tool: file('tool'), other: file('other') }), plain: file('plain'), below: file('below') },
  };
  for (const [name, options] of [
    ['by default', {}],
    ['with metacopies', { metacopy: metacopies('make') }],
    ['where nothing else is followed', { metacopy: metacopies('refuse'), redirectDir: 'nofollow' }],
  ] as const) {
    scenario(
      `data-only layers lend their data and stay out of sight (${name})`,
      trees,
      [op.chmod('/bin/tool', 0o755), op.append('/bin/other', '!'), op.append('/bin/tool', '!')],
      options,
    );
  }
  scenario(
    'files with data in a data-only layer are renamed',
    trees,
    [op.chmod('/bin/tool', 0o755), op.rename('/bin/tool', '/tool'), op.rename('/bin', '/b'), op.append('/tool', '!')],
    { metacopy: metacopies('make') },
  );
  test('an upper metacopy or a relative redirect does not lead there', {
    upper: { f: file('', { metacopy: 4, redirect: '/ab' }) },
    lower: [{ g: file('', { metacopy: 4, redirect: 'ab' }) }],
    dataOnly: [{ ab: file('data') }],
  }, async (world) => {
    const driver = await world.open();
    for (const path of ['/f', '/g']) equal(await apply(driver, { kind: 'read', path }), { error: 'EIO' }, path);
  });
}

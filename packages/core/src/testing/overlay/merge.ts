/** What is seen: merging, whiteouts, opaque directories. */
import { Overlay } from '../../overlay.js';
import { runAsync } from '../../run.js';
import { fails } from '../runner.js';
import { dir, file, whiteout, type TreeSpec, type WhiteoutForm, type OpaqueForm } from '../tree.js';
import { op, type Suite } from './world.js';

const WHITEOUTS: readonly WhiteoutForm[] = ['device', 'xattr', 'name'];
const OPAQUES: readonly OpaqueForm[] = ['y', '.wh..wh..opq', 'fuse-overlayfs'];

export function mergeTests({ scenario, harness }: Suite): void {
  scenario('directories merge, the topmost layer’s attributes count, first occurrence wins', {
    upper: { d: dir({ u: file('upper'), same: file('from upper') }, { mode: 0o700 }) },
    lower: [
      { d: dir({ m: file('middle'), same: file('from middle') }, { mode: 0o755 }), only: dir({ m: file('m') }) },
      { d: dir({ l: file('lower'), same: file('from lower') }, { mode: 0o777 }), only: dir({ l: file('l') }) },
    ],
  });
  scenario('a file hides a directory below, and a directory a file, also from what is below them', {
    lower: [
      { a: file('file'), b: dir({ x: file('x') }) },
      { a: dir({ hidden: file('') }), b: file('hidden') },
      { a: dir({ hidden2: file('') }), b: dir({ hidden: file('') }) },
    ],
  });
  for (const form of WHITEOUTS) {
    const marked = form === 'xattr' ? { opaque: 'x' as const } : {};
    const gone = dir({ f: whiteout(form), d: whiteout(form), kept: file('kept') }, marked);
    const full = dir({ f: file('hidden'), d: dir({ x: file('hidden') }), other: file('other') });
    // The kernel looks for xattr whiteouts in lower layers only: tools make them, overlays do not.
    const top = { top: gone };
    const trees = form === 'xattr' ? { lower: [top, { top: full }] } : { upper: top, lower: [{ top: full }] };
    scenario(`whiteouts (${form}) at the top`, trees, [
      op.create('/top/f'),
      op.mkdir('/top/d'),
      op.unlink('/top/f'),
      op.rmdir('/top/d'),
      op.rename('/top/kept', '/top/d'),
      op.rename('/top/other', '/top/f'),
      op.rename('/top/f', '/top/d'),
      op.unlink('/top/d'),
    ]);
    scenario(`whiteouts (${form}) below`, { lower: [{}, { top: gone }, { top: full }] }, [
      op.mkdir('/top/d'),
      op.create('/top/f'),
      op.unlink('/top/f'),
      op.unlink('/top/other'),
    ]);
    scenario(`a directory above a whiteout (${form}) does not merge with what it hides`, {
      lower: [{ top: dir({ d: dir({ new: file('new') }) }) }, { top: gone }, { top: full }],
    });
  }
  scenario('a .wh. file hides what is below, not its own layer’s entry', {
    lower: [
      { '.wh.f': file(''), f: file('same layer'), '.wh.d': file(''), d: dir({ a: file('a') }) },
      { f: file('hidden'), d: dir({ b: file('hidden') }) },
    ],
    shows: { f: file('same layer'), d: dir({ a: file('a') }) },
  });
  for (const opaque of OPAQUES) {
    const above = dir({ new: file('new') }, { opaque });
    const below = dir({ old: file('old'), new: file('old') });
    scenario(`opaque directories (${opaque}) in the upper`, { upper: { d: above }, lower: [{ d: below }] }, [
      op.unlink('/d/new'),
      op.create('/d/new'),
      op.chmod('/d', 0o711),
      op.rename('/d', '/e'),
      op.mkdir('/d'),
    ]);
    scenario(`opaque directories (${opaque}) in a lower layer`, { lower: [{ d: dir() }, { d: above }, { d: below }] }, [
      op.unlink('/d/new'),
      op.chmod('/d', 0o711),
      op.rename('/d', '/e'),
      op.mkdir('/d'),
    ]);
  }
  const hundred = Array.from({ length: 100 }, (_, i): TreeSpec => {
    return { all: dir({ [`from ${i}`]: file(`${i}`), same: file(`${i}`) }), [`top ${i}`]: file(`${i}`) };
  });
  scenario('a hundred layers', { lower: hundred }, [op.append('/all/from 99', '!'), op.rename('/all', '/renamed')]);
  harness.runner.it('no layers at all is EINVAL', async () => {
    await fails('EINVAL', () => runAsync(Overlay.open({ lower: [] })));
  });
}

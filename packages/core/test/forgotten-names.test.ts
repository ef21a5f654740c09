// A directory's names that are read again because a layer changed from outside, while another operation changes the directory:
// what the layers below show under a name stays hidden once the name is removed, in whatever order the layers answer.
import { FsError, type Layer, type MemoryLayer, memoryLayer, Overlay, Revalidation, runAsync } from '@ovl/core';
import { asyncLayer, intercept, Scheduler } from '@ovl/core/testing';
import { expect, test } from 'vitest';

interface Changing {
  overlay: Overlay<'async'>;
  /** Removes "gone" below, without the overlay. */
  change(): void;
  /** Lets so many layer calls go before. */
  wait(calls: number): Promise<void>;
}

async function open(seed: number, how: 'revalidated' | 'found out'): Promise<Changing> {
  const scheduler = new Scheduler(seed);
  const below: MemoryLayer = memoryLayer({ from: { name: 'lower', gone: 'lower', 'also gone': 'lower' } });
  let isChanged = false;
  const lower = intercept<Layer>(below, ({ name, args }, proceed) => {
    if (isChanged && name === 'getattr' && args[0] === gone) throw new FsError('ESTALE', { syscall: 'stat' });
    return proceed();
  });
  const gone = below.lookup(below.root, 'gone')?.node;
  const overlay = await runAsync(
    Overlay.open({
      lower: [asyncLayer(lower, scheduler)],
      upper: asyncLayer(memoryLayer({ from: { name: 'upper' } }), scheduler),
      ...(how === 'revalidated' && { revalidation: new Revalidation() }),
    }),
  );
  const change = (): void => {
    isChanged = true;
    const from = { dir: below.root, name: 'gone' };
    below.commit({ kind: 'unlink', from, occupant: 'non-directory', keep: undefined });
  };
  const wait = async (calls: number): Promise<void> => {
    for (let i = 0; i < calls; i++) await scheduler.later(() => undefined);
  };
  return { overlay: overlay as Overlay<'async'>, change, wait };
}

test.each(['revalidated', 'found out'] as const)('%s', async (how) => {
  const shown: number[] = [];
  for (let seed = 1; seed <= 400; seed++) {
    const { overlay, change, wait } = await open(seed, how);
    for (const name of ['name', 'gone']) await runAsync(overlay.lookup(overlay.root, name));
    change();
    await Promise.all([
      runAsync(overlay.lookup(overlay.root, 'gone')),
      wait(seed % 8).then(() => runAsync(overlay.unlink(overlay.root, 'name'))),
      runAsync(overlay.lookup(overlay.root, 'absent')),
    ]);
    if ((await runAsync(overlay.lookup(overlay.root, 'name'))) !== undefined) shown.push(seed);
    await runAsync(overlay.close());
  }
  expect(shown).toEqual([]);
});

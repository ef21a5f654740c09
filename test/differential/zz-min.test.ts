import { readFileSync, writeFileSync } from 'node:fs';
import { test } from 'vitest';
import { Comparison, Difference } from './compare.js';
import type { Case } from './operations.js';
import { withBase } from './property.js';
test('min', { timeout: 600000 }, async () => {
  const flavour = { userxattr: false, redirectDir: true };
  let [best] = JSON.parse(readFileSync(process.env.OVL_MIN!, 'utf8').replaceAll('__proto__:null,', '')) as [Case];
  await withBase('tmpfs', async (base) => {
    const c = await Comparison.start(base, ['kernel', (process.env.OVL_SIDE ?? 'core') as any], [flavour, flavour]);
    let last = '';
    const fails = async (t: Case) => { try { await c.run(t); return false; } catch (e) { if (!(e instanceof Difference)) return false; last = e.message; return true; } };
    const lists = (t: Case): any[][] => [...t.phases, t.history, ...t.layers];
    if (!(await fails(best))) throw new Error('does not fail');
    for (let changed = true; changed; ) {
      changed = false;
      for (let size = 16; size >= 1; size >>= 1)
        for (let l = 0; l < lists(best).length; l++)
          for (let i = 0; i < lists(best)[l]!.length; ) {
            const t = structuredClone(best);
            lists(t)[l]!.splice(i, size);
            if (t.phases.length > 0 && (await fails(t))) { best = t; changed = true; } else i += size;
          }
    }
    await fails(best);
    writeFileSync('/root/min.json', JSON.stringify([best]));
    console.log(last);
    await c.end();
  });
});

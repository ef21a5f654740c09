/** What changes of names take and give back: entries, whiteouts, and the objects that lose their last name. */
import { type Attributes, isDirectory } from '../attributes.js';
import type { Found, LayerEntry, LayerNode, NamespaceChange, Occupant, Place } from '../layer.js';
import { type Operation, wait } from '../run.js';
import { later, type Meter } from './meter.js';

/** Makes a change of names, and gives back what it lets go. To be run under the lock for names. */
export function* commit(meter: Meter, change: NamespaceChange): Operation<void> {
  const committing = later(() => meter.inner.commit(change));
  if (change.kind === 'exchange') return yield* meter.measured([change.a.dir, change.b.dir], committing);
  const { keep } = change;
  if (change.kind === 'unlink') {
    const { from, occupant } = change;
    const victims = yield* victimsAt(meter, from, occupant);
    yield* meter.measured([from.dir], committing);
    return remove(meter, victims, keep);
  }
  const { node, to, over } = change;
  const victims = yield* victimsAt(meter, to, over);
  if (change.kind === 'link') {
    yield* meter.measured([to.dir], committing);
    meter.charges.named(node);
    return remove(meter, victims, keep);
  }
  const { from, leave } = change;
  const giveBack = leave === 'whiteout' ? meter.account.reserve({ inodes: 1 }, 'rename') : undefined;
  try {
    yield* meter.measured([from.dir, to.dir], committing);
    remove(meter, victims, keep);
    if (leave === 'whiteout') meter.charges.add(0, 1);
  } finally {
    giveBack?.();
  }
}

/** What goes when a name is taken: the object there, if that is its last, and what a directory hides. */
function* victimsAt(meter: Meter, { dir, name }: Place, occupant: Occupant): Operation<Attributes[]> {
  const found = occupant === 'nothing' ? undefined : yield* wait<Found | undefined>(meter.inner.lookup(dir, name));
  if (found === undefined) return [];
  const { node, attributes } = found;
  if (!isDirectory(attributes.mode)) return [attributes];
  const victims = [attributes];
  for (const entry of yield* wait<LayerEntry[]>(meter.inner.readdir(node))) {
    victims.push(...(yield* victimsAt(meter, { dir: node, name: entry.name }, 'whiteout')));
  }
  return victims;
}

function remove(meter: Meter, [first, ...hidden]: readonly Attributes[], keep: LayerNode | undefined): void {
  if (first === undefined) return;
  if (keep !== undefined) {
    const charge = meter.charges.enter(meter.charges.number(keep, first.ino));
    meter.charges.hold(keep, charge);
  }
  for (const attributes of [first, ...hidden]) meter.charges.removed(attributes);
}

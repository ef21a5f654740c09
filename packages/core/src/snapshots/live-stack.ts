/**
 * Lower layers that come and go while the overlay is in use. What is above them stays as it is and hides, merges and redirects as it
 * would on opening the new stack. The names that are known are given up at the root and found again when they are asked for
 * (survivors.ts), so that a change costs the same however many files there are.
 */
import { FsError } from '../errors.js';
import type { Stack } from '../inode.js';
import type { Layer } from '../layer.js';
import type { Mode, Operation } from '../run.js';
import { wait } from '../run.js';
import { admit } from '../super.js';
import { checkDataBelow } from './data-below.js';
import { LowerPlaces, takeOut } from './lower-places.js';
import { NeededLayers } from './needed-layers.js';
import type { Insides, SnapshotOverlay } from './snapshot-overlay.js';

/** Where a layer goes. */
export interface PushOptions<M extends Mode = Mode> {
  /** The lower layer that the new one goes below. Default: none, it goes above all of them. */
  under?: Layer<M> | Layer<'sync'>;
}

/**
 * Puts a layer among the lower ones: below the upper and what was the upper before a checkpoint. All of the view changes in one
 * step, between operations. The layer belongs to the overlay until it is popped, as those that it was opened with. Throws EBUSY
 * for a layer that is in use and, naming it, for a file whose data would no longer be its own; EINVAL for an `under` that is
 * none of the lower layers, EOPNOTSUPP for a layer with a feature that is not understood. After a failure everything is as it was.
 */
export function push<M extends Mode>(
  overlay: SnapshotOverlay<M>,
  layer: Layer<M> | Layer<'sync'>,
  { under }: PushOptions<M> = {},
): Operation<void> {
  return overlay.restack((insides) => insert(insides, overlay, layer, under));
}

function* insert(insides: Insides, overlay: SnapshotOverlay, layer: Layer, under?: Layer): Operation<void> {
  const { layers, lower } = overlay;
  const { stack, users } = insides;
  if (users.isWritten(layer) || layers.includes(layer)) throw new FsError('EBUSY', { syscall: 'push' });
  const above = under === undefined ? 0 : lower.indexOf(under) + 1;
  if (under !== undefined && above === 0) throw new FsError('EINVAL', { syscall: 'push' });
  const dev = yield* admit(stack, layer);
  yield* checkDataBelow(insides, lower, [...lower.slice(0, above), layer, ...lower.slice(above)], 'push');
  const formerUppers = stack.root.lower.length - lower.length; // nothing fails or waits from here on
  const { places, needed } = liveOf(insides);
  const index = places.insert(stack, layer, formerUppers + above, formerUppers);
  needed.putBack(layer);
  users.enter(layer);
  stack.presentIno(dev, 0);
  if (!stack.origins.some((origin) => origin.dev === dev)) stack.origins.push({ layer: index, dev });
}

/**
 * Takes a lower layer (default: the topmost) out, in one step as {@link push}. Files of it that are open go on to be read, as those
 * that were removed; what else is held of it answers ESTALE. Returns the layer, which is the caller's again: to be closed
 * once those files are. Undefined if a fork uses it, which then closes it. Throws EINVAL for what is none of the lower layers, and
 * EBUSY, naming it, for a file whose data was left in the layer. After a failure everything is as it was.
 */
export function pop<M extends Mode>(overlay: SnapshotOverlay<M>, layer?: Layer<M>): Operation<Layer<M> | undefined> {
  return overlay.restack((insides) => takeFrom(insides, overlay.lower, layer)) as Operation<Layer<M> | undefined>;
}

function* takeFrom(insides: Insides, lower: Layer[], layer = lower[0]): Operation<Layer | undefined> {
  const { stack, users, open } = insides;
  if (layer === undefined || !lower.includes(layer)) throw new FsError('EINVAL', { syscall: 'pop' });
  const others = lower.filter((other) => other !== layer);
  yield* checkDataBelow(insides, lower, others, 'pop');
  const origins = yield* originsWithout(stack, layer);
  takeOut(stack, layer); // nothing fails or waits from here on
  stack.origins = origins;
  liveOf(insides).needed.tookOut(stack, layer, open);
  return users.leave(layer) ? layer : undefined;
}

function liveOf(insides: Insides): NonNullable<Insides['live']> {
  return (insides.live ??= { places: new LowerPlaces(), needed: new NeededLayers() });
}

/** Where origins are looked up without a layer: another one of its file system does as well. */
function* originsWithout(stack: Stack, layer: Layer): Operation<Stack['origins']> {
  const origins: Stack['origins'] = [];
  for (const origin of stack.origins) {
    let at: number | undefined = origin.layer;
    if (stack.layer(at) === layer) {
      at = undefined;
      for (const { layer: index, node } of stack.root.lower) {
        const other = stack.layer(index);
        if (at === undefined && other !== layer && (yield* wait(other.getattr(node))).dev === origin.dev) at = index;
      }
    }
    if (at !== undefined) origins.push({ layer: at, dev: origin.dev });
  }
  return origins;
}

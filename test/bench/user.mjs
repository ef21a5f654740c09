// The part of `--as USER` that is the user's: gets its order from root's (as-user.mjs), answers the summary.
import { bench } from './bench.mjs';
import { detachBelow } from './disk.mjs';
import { cutShort, followSignals } from './stop.mjs';

followSignals();
process.on('disconnect', () => process.exit(1));
process.once('message', async (/** @type {import('./bench.mjs').Order} */ order) => {
  // What the user has started, root would have to look for; nothing is left if root's part was killed.
  process.on('exit', () => {
    cutShort();
    detachBelow(order.disk.dir);
  });
  try {
    const summary = await bench(order);
    process.send?.({ summary }, () => process.exit(0));
  } catch (error) {
    process.send?.({ failure: /** @type {Error} */ (error).message }, () => process.exit(1));
  }
});

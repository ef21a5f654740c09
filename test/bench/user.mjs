// The part of `--as USER` that is the user's: gets its order from root's (as-user.mjs), answers the summary.
import { bench } from './bench.mjs';

process.on('disconnect', () => process.exit(1));
process.once('message', async (order) => {
  try {
    const summary = await bench(/** @type {import('./bench.mjs').Order} */ (order));
    process.send?.({ summary }, () => process.exit(0));
  } catch (error) {
    process.send?.({ failure: /** @type {Error} */ (error).message }, () => process.exit(1));
  }
});

/**
 * Starting the serving thread, which takes as long as the process itself: a daemon does so first of all, while it loads the
 * rest and waits for its request. So nothing of ours is imported here.
 */
import { setFlagsFromString } from 'node:v8';
import { Worker } from 'node:worker_threads';

/**
 * Inodes are many and live as long as the kernel wants: with V8's default of 48 the collector copies them over and over.
 * CPU time of 20,000 cold lookups, median of 6: 505 ms with the default, 400 with 96, 450 with 192; memory the same.
 */
const YOUNG_GENERATION_MB = 96;

let ahead: Worker | undefined;

/** Starts the thread that the next {@link takeThread} gets. It does not keep the process alive. */
export function startAhead(): void {
  ahead = startThread();
  ahead.unref();
}

export function takeThread(): Worker {
  const thread = ahead ?? startThread();
  ahead = undefined;
  thread.ref();
  return thread;
}

function startThread(): Worker {
  // In MiB, from the start: what a walk leaves behind stays, and a smaller one would copy it several times.
  setFlagsFromString('--min-semi-space-size=4');
  return new Worker(new URL('./serve.cjs', import.meta.url), {
    execArgv: [], // not the process's own, which may be for its main script only (`-e`, `--input-type`)
    resourceLimits: { maxYoungGenerationSizeMb: YOUNG_GENERATION_MB },
  });
}

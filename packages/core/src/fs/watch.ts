/** Watching: the overlay's change feed, seen from a path. What changes in the layers from outside is not told. */
import type { Inode } from '../inode.js';
import type { Overlay } from '../overlay.js';
import type { Operation } from '../run.js';
import {
  type Encoding,
  type OptionsLike,
  type PathLike,
  type SignalLike,
  toBoolean,
  toOptions,
  toPath,
} from './arguments.js';
import type { Context } from './context.js';
import { spelled } from './names.js';
import { throwIfAborted } from './waiting.js';
import { existing, locate } from './walk.js';

/** What is watched, and for how long. */
export interface WatchOptions {
  /** Also what happens below a directory. Default false. */
  recursive?: boolean | undefined;
  /** Checked; whether a process waits for changes is its own to say. */
  persistent?: boolean | undefined;
  /** Of the names told. */
  encoding?: Encoding | null | undefined;
  /** Ends the watch. */
  signal?: SignalLike | undefined;
}

/** What happened to a name. */
export interface WatchEvent {
  eventType: 'rename' | 'change';
  /** From the watched directory on; of a watched file its own name. Null where the layers changed: then any name may have. */
  filename: string | Uint8Array | null;
}

/** Tells `listener` of what happens to a file or in a directory. Answers what ends that. Throws ENOENT. */
export function* watchPath(
  fs: Context,
  path: PathLike,
  options: OptionsLike<WatchOptions>,
  listener: (event: WatchEvent) => void,
): Operation<() => void> {
  const at = toPath(path, 'filename');
  const { recursive, persistent, encoding } = toOptions<WatchOptions>(options, fs.codec);
  if (persistent !== undefined) toBoolean(persistent, 'options.persistent');
  if (recursive !== undefined) toBoolean(recursive, 'options.recursive');
  const { inode } = yield* existing(fs, at, 'watch');
  const own = yield* locate(fs, at, 'watch', 'follow');
  const { overlay } = fs;
  for (const kept of [own.dir, inode]) overlay.retain(kept); // as long as they stay the same objects, names are theirs
  const unsubscribe = overlay.subscribe(({ type, dir, name }) => {
    if (name === undefined) return listener({ eventType: 'rename', filename: null });
    let filename: string | undefined;
    if (dir === own.dir && name === own.name) filename = name;
    else if (inode.isDirectory)
      filename = recursive === true ? below(overlay, inode, dir, name) : dir === inode ? name : undefined;
    if (filename !== undefined) listener({ eventType: type, filename: spelled(fs, filename, encoding) });
  });
  let isOn = true;
  return () => {
    if (!isOn) return;
    isOn = false;
    unsubscribe();
    for (const kept of [own.dir, inode]) overlay.forget(kept);
  };
}

function below(overlay: Overlay, watched: Inode, dir: Inode, name: string): string | undefined {
  let path = name;
  let at: Inode | undefined = dir;
  while (at !== undefined && at !== watched) {
    const dentry = overlay.dentryOf(at);
    path = `${dentry?.name}/${path}`;
    at = dentry?.dir;
  }
  return at === undefined ? undefined : path;
}

/** `fs.promises.watch`: events, until the signal ends it with an AbortError or the caller leaves the loop. */
export async function* watchEvents(
  fs: Context,
  path: PathLike,
  options: OptionsLike<WatchOptions>,
  watching: (operation: Operation<() => void>) => Promise<() => void>,
): AsyncGenerator<WatchEvent, void> {
  const { signal } = toOptions<WatchOptions>(options, fs.codec);
  if (signal !== undefined) throwIfAborted(signal);
  const events: WatchEvent[] = [];
  let wake = (): void => {};
  const stop = await watching(
    watchPath(fs, path, options, (event) => {
      events.push(event);
      wake();
    }),
  );
  const onAbort = (): void => wake();
  signal?.addEventListener('abort', onAbort, { once: true });
  try {
    for (;;) {
      if (signal !== undefined) throwIfAborted(signal);
      const event = events.shift();
      if (event !== undefined) yield event;
      else await new Promise<void>((resolve) => (wake = resolve));
    }
  } finally {
    signal?.removeEventListener('abort', onAbort);
    stop();
  }
}

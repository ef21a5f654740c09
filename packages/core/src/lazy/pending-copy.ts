/**
 * A file whose copy-up has been answered while its data is still below: what was written lies in the staged copy, what was
 * not is read from the source, and the copying goes on beside, a chunk at a time. Whoever would touch the chunk that is
 * being copied waits for it; nothing else does.
 */
import type { AttributeChange, Attributes, Time } from '../attributes.js';
import { times } from '../copy-up.js';
import { FsError, isFsError } from '../errors.js';
import type { Inode, Real, Stack } from '../inode.js';
import type { AllocateMode, Job, Layer, LayerFile, LayerNode, UpperFile, UpperLayer } from '../layer.js';
import type { PendingData } from '../options.js';

/** Bytes copied at once: what a write into them waits for, and what one question to the copier is worth. */
const CHUNK = 8 << 20;
/** Milliseconds after which a copy that failed goes on by itself. */
const REST_MS = 1000;

/** Failures that may pass: somebody makes room. Any other is for good. */
const PASSING: ReadonlySet<string> = new Set([
  'ENOSPC',
  'EDQUOT',
  'ENOMEM',
  'EMFILE',
  'ENFILE',
  'EAGAIN',
  'EINTR',
  'EBUSY',
]);

type Range = [start: number, end: number];

/** Whether trying again is of no use. */
export function isForGood(error: FsError): boolean {
  return !PASSING.has(error.code);
}

/** Thrown by who must not wait; see copy-ups.ts. */
export class Unsettled extends Error {}

export class PendingCopy implements PendingData {
  /** The value of the origin attribute, for the time when the copy gets its name. */
  origin: Uint8Array | undefined;
  readonly #inode: Inode;
  readonly #upper: UpperLayer<'sync'>;
  readonly #from: LayerFile<'sync'>;
  readonly #to: UpperFile<'sync'>;
  readonly #node: LayerNode;
  readonly #unsettled: 'suspend' | 'wait';
  /** What is in the copy: sorted, apart from each other. */
  #own: Range[] = [];
  /** Bytes from here on were never the source's. */
  #length: number;
  #size: number;
  #modified: Attributes;
  /** What the source takes of the disk, and the copy will: shown as less, others would take data for holes. */
  #blocks: number;
  /** Once it was changed: copying takes set-id bits away. */
  #mode: number | undefined;
  #job: { job: Job; range: Range } | undefined;
  #sync: Job | undefined;
  #isDurable = false;
  #failure: FsError | undefined;
  #restUntil = 0;
  #isForGood = false;

  private constructor(
    inode: Inode,
    upper: UpperLayer<'sync'>,
    from: LayerFile<'sync'>,
    to: UpperFile<'sync'>,
    node: LayerNode,
    length: number,
    attributes: Attributes,
    unsettled: 'suspend' | 'wait',
  ) {
    this.#inode = inode;
    this.#upper = upper;
    this.#from = from;
    this.#to = to;
    this.#node = node;
    this.#length = this.#size = length;
    this.#modified = attributes;
    this.#blocks = attributes.blocks;
    this.#unsettled = unsettled;
  }

  /**
   * Makes room in `node`, a staged empty file, for the first `length` bytes of `source`. Throws ENOSPC where there is none;
   * undefined where the copy can be had without waiting, or not at all beside.
   */
  static open(
    stack: Stack,
    inode: Inode,
    source: Real,
    node: LayerNode,
    length: number,
    attributes: Attributes,
    unsettled: 'suspend' | 'wait',
  ): PendingCopy | undefined {
    // Who copies beside answers at once.
    const upper = stack.writable() as UpperLayer<'sync'>;
    const from = (stack.layer(source.layer) as Layer<'sync'>).open(source.node);
    let to: UpperFile<'sync'> | undefined;
    let opened = false;
    try {
      to = upper.openWritable(node);
      if (upper.copiesBeside?.(from, to) !== true) return undefined;
      // Room is kept for all of it now, where that costs nothing: an error after the answer comes too late for many.
      if (attributes.blocks * 512 >= attributes.size) reserve(to, length);
      upper.setattr(node, { size: length });
      opened = true;
      return new PendingCopy(inode, upper, from, to, node, length, attributes, unsettled);
    } finally {
      if (!opened) {
        from.close();
        if (to !== undefined) to.close();
      }
    }
  }

  /** Whether it failed so lately that it is not worth trying again, unless somebody asks for it. */
  get isResting(): boolean {
    return Date.now() < this.#restUntil;
  }

  /** Whether it failed lately, with what will not pass. */
  get isHopeless(): boolean {
    return this.#isForGood && this.isResting;
  }

  /** Keeps a failure for {@link report}. */
  fail(error: FsError): void {
    this.#failure = error;
    this.#isForGood = isForGood(error);
    this.#restUntil = Date.now() + REST_MS;
  }

  /** Throws what the copying failed with since the last time, as fsync does. */
  report(): void {
    const failure = this.#failure;
    this.#failure = undefined;
    if (failure !== undefined) throw failure;
  }

  /** Takes a failure as told. */
  forgive(): void {
    this.#failure = undefined;
  }

  get shown(): Partial<Attributes> {
    const { atimeSec, atimeNsec, mtimeSec, mtimeNsec } = this.#modified;
    const blocks = Math.max(this.#blocks, this.#modified.blocks);
    const shown = { nlink: 1, blocks, atimeSec, atimeNsec, mtimeSec, mtimeNsec }; // the staged copy has no name
    return this.#mode === undefined ? shown : { ...shown, mode: this.#mode };
  }

  /** The copier has moved the times of the copy: they become what they are shown as. */
  dress(): void {
    const mode = this.#mode;
    this.#upper.setattr(this.#node, { ...(mode !== undefined && { mode: mode & 0o7777 }), ...times(this.#modified) });
  }

  read(buffer: Uint8Array, position: number): number {
    const end = Math.min(position + buffer.length, this.#size);
    let at = position;
    while (at < end) {
      const { file, end: until } = this.#segment(at);
      const wanted = Math.min(end, until) - at;
      const read = file.read(buffer.subarray(at - position, at - position + wanted), at);
      if (read < wanted && file === this.#from) throw new FsError('EIO', { syscall: 'read' }); // became shorter
      if (read === 0) break;
      at += read;
    }
    return Math.max(at - position, 0);
  }

  write(buffer: Uint8Array, position: number): number {
    this.report();
    this.#free(position, position + buffer.length);
    const written = this.#to.write(buffer, position);
    this.#add(position, position + written);
    if (written > 0) this.#size = Math.max(this.#size, position + written);
    this.#touched();
    return written;
  }

  seek(position: number, whence: 'data' | 'hole'): number {
    if (position >= this.#size || position < 0) throw new FsError('ENXIO', { syscall: 'lseek' });
    let at = position;
    while (at < this.#size) {
      const { file, end } = this.#segment(at);
      const until = Math.min(end, this.#size);
      const found = seekIn(file, at, whence);
      if (found < until) return found;
      at = until;
    }
    if (whence === 'data') throw new FsError('ENXIO', { syscall: 'lseek' });
    return this.#size;
  }

  allocate(mode: AllocateMode, offset: number, length: number): void {
    const end = offset + length;
    const empties = mode.punchHole || mode.zeroRange;
    if (empties) this.#free(offset, end);
    this.#to.allocate(mode, offset, length);
    if (empties) this.#add(offset, Math.min(end, Math.max(this.#length, this.#size)));
    if (!mode.keepSize && !mode.punchHole) this.#size = Math.max(this.#size, end);
    this.#touched();
  }

  setattr(_node: LayerNode, change: AttributeChange): void {
    const { size } = change;
    if (size !== undefined && size < this.#length) {
      this.#free(size, Infinity);
      this.#length = size;
      this.#blocks = Math.min(this.#blocks, Math.ceil(size / 4096) * 8);
    }
    this.#upper.setattr(this.#node, change);
    if (change.mode !== undefined || change.uid !== undefined || change.gid !== undefined) {
      this.#mode = this.#upper.getattr(this.#node).mode;
      this.#inode.shown = this.shown;
    }
    if (size !== undefined) this.#size = size;
    const { atime, mtime } = change;
    if (size === undefined && atime === undefined && mtime === undefined) return;
    const now = this.#upper.getattr(this.#node);
    const { atimeSec, atimeNsec, mtimeSec, mtimeNsec } = this.#modified;
    // What the change left alone may be the copier's doing, and even what it set may have been moved again.
    const shown: Attributes = {
      ...now,
      ...(atime === undefined && { atimeSec, atimeNsec }),
      ...(size === undefined && mtime === undefined && { mtimeSec, mtimeNsec }),
    };
    putTime(shown, 'atime', atime);
    putTime(shown, 'mtime', mtime);
    this.#show(shown);
  }

  /** The copy has been changed by its user, whose the times therefore are. */
  #touched(): void {
    const { atimeSec, atimeNsec } = this.#modified;
    this.#show({ ...this.#upper.getattr(this.#node), atimeSec, atimeNsec });
  }

  #show(modified: Attributes): void {
    this.#modified = modified;
    this.#inode.shown = this.shown;
  }

  /** Where the bytes at a position are, and up to which position they are there. */
  #segment(at: number): { file: LayerFile<'sync'>; end: number } {
    if (at >= this.#length) return { file: this.#to, end: Infinity };
    for (const [start, end] of this.#own) {
      if (at < start) return { file: this.#from, end: Math.min(start, this.#length) };
      if (at < end) return { file: this.#to, end };
    }
    return { file: this.#from, end: this.#length };
  }

  #add(start: number, end: number): void {
    if (end <= start) return;
    const apart = this.#own.filter(([s, e]) => e < start || s > end);
    const merged = this.#own.filter(([s, e]) => e >= start && s <= end);
    const range: Range = [Math.min(start, ...merged.map(([s]) => s)), Math.max(end, ...merged.map(([, e]) => e))];
    this.#own = [...apart.filter(([, e]) => e < range[0]), range, ...apart.filter(([s]) => s > range[1])];
  }

  /** Waits until nothing is being copied there. */
  #free(start: number, end: number): void {
    while (this.#job !== undefined && this.#job.range[0] < end && this.#job.range[1] > start) {
      if (!this.#collect()) {
        if (this.#unsettled === 'suspend') throw new Unsettled();
        this.#job.job.wait();
      }
    }
  }

  /** Takes the result of the chunk, if it is there. */
  #collect(): boolean {
    if (this.#job === undefined) return true;
    const { job, range } = this.#job;
    const result = job.poll();
    if (result === undefined) return false;
    this.#job = undefined;
    if (typeof result !== 'number') this.fail(result);
    else if (result === 0)
      this.fail(new FsError('ESTALE', { syscall: 'copy-up' })); // it became shorter meanwhile
    else this.#add(range[0], range[0] + result);
    return true;
  }

  /** Goes on with the copying. True when all of it is in the copy, and durable as far as the mount wants it. */
  step(stack: Stack): boolean {
    if (!this.#collect()) return false;
    for (;;) {
      const gap = this.#gap();
      if (gap === undefined) break;
      const start = Math.min(seekIn(this.#from, gap[0], 'data'), gap[1]);
      if (start > gap[0])
        this.#add(gap[0], start); // a hole, in the copy as well
      else {
        const end = Math.min(seekIn(this.#from, start, 'hole'), gap[1]); // a copied hole would be one no more
        const length = Math.min(end - start, CHUNK);
        const job = this.#upper.copyBeside?.(this.#from, this.#to, start, length) as Job;
        this.#job = { job, range: [start, start + length] };
        this.#isDurable = false;
        return false;
      }
    }
    return this.#isDurable || this.#settle(stack);
  }

  /** The first range that is still the source's. */
  #gap(): Range | undefined {
    let at = 0;
    for (const [start, end] of this.#own) {
      if (at < start) break;
      at = Math.max(at, end);
    }
    if (at >= this.#length) return undefined;
    const next = this.#own.find(([start]) => start > at);
    return [at, Math.min(next?.[0] ?? this.#length, this.#length)];
  }

  #settle({ options: { fsync } }: Stack): boolean {
    if (fsync === 'volatile') return true;
    this.#sync ??= this.#upper.syncBeside?.(this.#to, fsync === 'strict' ? 'all' : 'order') as Job;
    const result = this.#sync.poll();
    if (result === undefined) return false;
    this.#sync = undefined;
    if (typeof result === 'number') this.#isDurable = true;
    else this.fail(result);
    return this.#isDurable;
  }

  /** Waits for what is being done beside, if anything is. */
  wait(): void {
    (this.#job?.job ?? this.#sync)?.wait();
  }

  /** Not for its users: they have files of their own, and `settle`. */
  close(): void {}
  fsync(): void {}

  /** Lets go of its files. False as long as something is being done beside with them. */
  end(): boolean {
    const job = this.#job?.job ?? this.#sync;
    if (job !== undefined && job.poll() === undefined) return false;
    this.#from.close();
    this.#to.close();
    return true;
  }
}

/** Puts a time that a change names into attributes. */
export function putTime(
  attributes: Partial<Attributes>,
  which: 'atime' | 'mtime' | 'ctime',
  time: Time | undefined | 'now',
): void {
  if (typeof time !== 'object') return;
  attributes[`${which}Sec`] = time.sec;
  attributes[`${which}Nsec`] = time.nsec;
}

/** Not every file system can: then the copying finds out whether there is room. */
function reserve(file: UpperFile<'sync'>, length: number): void {
  try {
    file.allocate({ keepSize: true, punchHole: false, zeroRange: false }, 0, length);
  } catch (error) {
    if (!isFsError(error, 'EOPNOTSUPP', 'ENOSYS', 'EINVAL')) throw error;
  }
}

function seekIn(file: LayerFile<'sync'>, position: number, whence: 'data' | 'hole'): number {
  try {
    return file.seek(position, whence);
  } catch (error) {
    if (isFsError(error, 'ENXIO')) return Infinity;
    throw error;
  }
}

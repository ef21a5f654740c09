/** A file open for writing, of a layer with a quota. It has no descriptor for others to use: what they write would not be counted. */
import type { AllocateMode, LayerFile, LayerNode, UpperFile } from '../layer.js';
import { type Answer, type Mode, type Operation, runEither, wait } from '../run.js';
import type { Charge } from './charges.js';
import { later, type Meter } from './meter.js';
import { roomToWrite } from './room.js';

type Soon<T> = Answer<Mode, T>;

export class QuotaFile implements UpperFile {
  readonly inner: UpperFile;
  readonly node: LayerNode;
  readonly charge: Charge;
  readonly order?: () => Soon<void>;
  readonly #meter: Meter;

  constructor(inner: UpperFile, node: LayerNode, charge: Charge, meter: Meter) {
    this.inner = inner;
    this.node = node;
    this.charge = charge;
    this.#meter = meter;
    if (inner.order !== undefined) this.order = () => inner.order?.();
  }

  read(buffer: Uint8Array, position: number): Soon<number> {
    return this.inner.read(buffer, position);
  }

  seek(position: number, whence: 'data' | 'hole'): Soon<number> {
    return this.inner.seek(position, whence);
  }

  write(buffer: Uint8Array, position: number): Soon<number> {
    const writing = later(() => this.inner.write(buffer, position));
    return runEither(buffer.length === 0 ? writing : this.#fill(position, buffer.length, writing));
  }

  allocate(mode: AllocateMode, offset: number, length: number): Soon<void> {
    const allocating = later(() => this.inner.allocate(mode, offset, length));
    if (!mode.punchHole) return runEither(this.#fill(offset, length, allocating));
    return runEither(this.#meter.changeData(this.node, this.charge, allocating, () => wait(0)));
  }

  /** Makes a change that may take room in a range. */
  #fill<T>(start: number, length: number, change: Operation<T>): Operation<T> {
    const { chunk } = this.#meter.inner;
    return this.#meter.changeData(this.node, this.charge, change, (extent, left) =>
      roomToWrite(this.inner, extent, chunk, start, start + length, left),
    );
  }

  fsync(scope: 'data' | 'all'): Soon<void> {
    return this.inner.fsync(scope);
  }

  close(): Soon<void> {
    return runEither(this.#close());
  }

  *#close(): Operation<void> {
    try {
      yield* wait(this.inner.close());
    } finally {
      this.#meter.charges.leave(this.charge);
    }
  }
}

/** What the layer itself opened. */
export function innerOf<M extends Mode>(file: LayerFile<M>): LayerFile<M> {
  return file instanceof QuotaFile ? (file.inner as UpperFile<M>) : file;
}

/** A FileHandle with what Node's has beyond the core's: events, Node's streams, lines. */
import { EventEmitter } from 'node:events';
import type { ReadStream, WriteStream } from 'node:fs';
import { createInterface, type Interface } from 'node:readline';
import { type Context, FileHandle } from '@ovl/core/fs';
import type { StreamClasses } from './streams.js';

function handleOptions(options: object | undefined, fd: FileHandle): object {
  return Object.create(options ?? null, { fd: { value: fd, enumerable: true } }) as object;
}

/** Makes handles whose streams are of `streams`. */
export function handleMaker(streams: () => StreamClasses): (fs: Context, fd: number) => FileHandle {
  class Handle extends FileHandle {
    #closed = false;

    override async close(): Promise<void> {
      await super.close();
      if (this.#closed) return;
      this.#closed = true;
      (this as unknown as EventEmitter).emit('close');
    }

    createReadStream(options?: object): ReadStream {
      return Reflect.construct(streams().ReadStream, ['', handleOptions(options, this)]) as ReadStream;
    }

    createWriteStream(options?: object): WriteStream {
      return Reflect.construct(streams().WriteStream, ['', handleOptions(options, this)]) as WriteStream;
    }

    readLines(options?: object): Interface {
      return createInterface({ input: this.createReadStream(options), crlfDelay: Number.POSITIVE_INFINITY });
    }
  }
  const events = Object.getOwnPropertyDescriptors(EventEmitter.prototype);
  for (const [name, property] of Object.entries(events)) {
    if (name !== 'constructor') Object.defineProperty(Handle.prototype, name, property);
  }
  return (fs, fd) => new Handle(fs, fd);
}

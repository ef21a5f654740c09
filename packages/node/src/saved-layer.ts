/** A layer as a file: written beside its place and moved there when it is whole and durable; read where it stands. */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { type Layer, Overlay } from '@ovl/core';
import {
  type SerializedLayer,
  serialize,
  serializedLayer,
  type SerializedLayerOptions,
  type SerializeOptions,
  serializeUpper,
} from '@ovl/core/serial';
import { randomBytes } from './random.js';

/**
 * Writes a layer, or an overlay's upper, to a file that `savedLayer` opens: see `serialize` of `@ovl/core/serial`, whose errors and options it has.
 * What stood at `path` is replaced in one step, once all is on the disk; where anything fails it stays, and nothing is left beside it.
 * Errors of the file are Node's.
 */
export async function saveLayer(what: Layer | Overlay, path: string, options: SerializeOptions = {}): Promise<void> {
  const pieces = what instanceof Overlay ? serializeUpper(what, options) : serialize(what, options);
  const unfinished = `${path}.${randomBytes(6).toString('hex')}`;
  const file = await open(unfinished, 'wx', 0o600);
  try {
    try {
      for await (const piece of pieces) {
        for (let done = 0; done < piece.length; ) done += (await file.write(piece, done)).bytesWritten;
      }
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(unfinished, path);
  } catch (error) {
    await rm(unfinished, { force: true });
    throw error;
  }
  const directory = await open(dirname(path), 'r');
  try {
    await directory.sync(); // the new name
  } finally {
    await directory.close();
  }
}

/** Opens a file that `saveLayer` wrote, until the layer is closed. Throws what `serializedLayer` does, and Node's errors of the file. */
export function savedLayer(path: string, options?: SerializedLayerOptions): SerializedLayer<'sync'> {
  const descriptor = openSync(path, 'r');
  try {
    return serializedLayer(
      {
        size: fstatSync(descriptor).size,
        read: (buffer: Uint8Array, position: number) => readSync(descriptor, buffer, 0, buffer.length, position),
        close: () => closeSync(descriptor),
      },
      options,
    );
  } catch (error) {
    closeSync(descriptor);
    throw error;
  }
}

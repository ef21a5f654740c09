/** Files whose copy-up takes long enough to be cut off in its middle, and what operations make of them. */
import { createHash } from 'node:crypto';
import { encodeName } from '@ovl/core';
import type { FileOperation } from '@ovl/core/testing';
import type { LargeFile, LargeView } from './protocol.js';

/** Different in every block, and with a hole of a quarter. */
export function randomBytes(seed: number, length: number): Uint8Array {
  const words = new Uint32Array(length >>> 2);
  let state = seed | 1;
  for (let i = 0; i < words.length; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    words[i] = state;
  }
  return new Uint8Array(words.buffer).fill(0, length >>> 1, (length >>> 1) + (length >>> 2));
}

export function seenOf(name: string, mode: number, content: Uint8Array): LargeView[number] {
  return { name, mode, bytes: content.length, hash: createHash('sha1').update(content).digest('hex') };
}

function resized(content: Uint8Array, length: number): Uint8Array {
  const out = new Uint8Array(length);
  out.set(content.subarray(0, length));
  return out;
}

/** A flat directory of large files. */
export class LargeModel {
  readonly #files: Map<string, { mode: number; content: Uint8Array }>;

  constructor(files: readonly LargeFile[]) {
    this.#files = new Map(
      files.map(({ name, seed, bytes }) => [name, { mode: 0o100644, content: randomBytes(seed, bytes) }]),
    );
  }

  clone(): LargeModel {
    const copy = new LargeModel([]);
    for (const [name, file] of this.#files) copy.#files.set(name, { ...file }); // contents are never changed in place
    return copy;
  }

  names(): string[] {
    return [...this.#files.keys()];
  }

  view(): LargeView {
    return this.names()
      .sort()
      .map((name) => {
        const { mode, content } = this.#file(name);
        return seenOf(name, mode, content);
      });
  }

  #file(path: string): { mode: number; content: Uint8Array } {
    const found = this.#files.get(path.replace('/', ''));
    if (found === undefined) throw new Error(`no file ${path}`);
    return found;
  }

  perform(op: FileOperation): void {
    switch (op.kind) {
      case 'write': {
        const file = this.#file(op.path);
        const text = encodeName(op.text);
        file.content = resized(file.content, Math.max(file.content.length, op.position + text.length));
        file.content.set(text, op.position);
        break;
      }
      case 'append': {
        const file = this.#file(op.path);
        file.content = Buffer.concat([file.content, encodeName(op.text)]);
        break;
      }
      case 'truncate': {
        const file = this.#file(op.path);
        file.content = resized(file.content, op.size);
        break;
      }
      case 'chmod':
        this.#file(op.path).mode = 0o100000 | op.mode;
        break;
      case 'rename':
        this.#files.set(op.to.slice(1), this.#file(op.from));
        this.#files.delete(op.from.slice(1));
        break;
      case 'create':
        this.#files.set(op.path.slice(1), { mode: 0o100000 | op.mode, content: new Uint8Array(0) });
        break;
      case 'open':
      case 'fsync':
      case 'close':
        break;
      default:
        throw new Error(`not for large files: ${op.kind}`);
    }
  }
}

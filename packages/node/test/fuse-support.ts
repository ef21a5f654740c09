// Requests made by hand, as the kernel would send them, for a server over memory layers.
import {
  encodeName,
  type Layer,
  memoryLayer,
  type MemoryLayerOptions,
  Overlay,
  type OverlayOptions,
  runSync,
  type UpperLayer,
} from '@ovl/core';
import { dispatch, failure } from '../src/fuse/dispatch.js';
import { ARGUMENT_BYTES, DIRENT_BYTES, ENTRY_BYTES, Header, Opcode, REPLY_BYTES } from '../src/fuse/protocol.js';
import { NO_REPLY, Server, type ServerOptions } from '../src/fuse/server.js';

export interface Reply {
  /** Negative errno, or 0. */
  error: number;
  /** The reply without its header; undefined if there is none. */
  content: Buffer | undefined;
}

export interface Caller {
  uid: number;
  gid: number;
}

/** A kernel's side of a connection. */
export class Client {
  readonly server: Server;
  readonly overlay: Overlay<'sync'>;

  constructor(
    lower: Layer<'sync'> | NonNullable<MemoryLayerOptions['from']>,
    upper: UpperLayer<'sync'> | 'none' = memoryLayer(),
    options: ServerOptions = {},
    also: Partial<OverlayOptions<'sync'>> = {},
  ) {
    const layer = isLayer(lower) ? lower : memoryLayer({ from: lower });
    const layers = upper === 'none' ? { lower: [layer] } : { lower: [layer], upper };
    this.overlay = runSync(Overlay.open<'sync'>({ ...layers, ...also }));
    this.server = new Server(this.overlay, options);
  }

  request(opcode: number, nodeid: number, argument: Uint8Array, caller: Caller = { uid: 0, gid: 0 }): Reply {
    const { wire } = this.server;
    wire.input.fill(0xee, 0, 4096); // what an earlier request left there must not matter
    wire.input.set(argument, ARGUMENT_BYTES);
    wire.in[Header.length] = ARGUMENT_BYTES + argument.length;
    wire.in[Header.opcode] = opcode;
    wire.in[Header.nodeid] = nodeid;
    wire.in[Header.nodeid + 1] = 0;
    wire.in[Header.uid] = caller.uid;
    wire.in[Header.gid] = caller.gid;
    try {
      const length = dispatch(this.server);
      if (length < 0) return { error: length === NO_REPLY ? 0 : length, content: undefined };
      return { error: 0, content: Buffer.from(wire.output.subarray(REPLY_BYTES, REPLY_BYTES + length)) };
    } catch (error) {
      return { error: -failure(this.server, error), content: undefined };
    }
  }

  /** The reply's content. Throws for an error. */
  content(opcode: number, nodeid: number, argument: Uint8Array, caller?: Caller): Buffer {
    const { error, content } = this.request(opcode, nodeid, argument, caller);
    if (error !== 0 || content === undefined) throw new Error(`request ${opcode} failed: ${error}`);
    return content;
  }

  /** The node id, 0 if the name is absent. */
  lookup(parent: number, name: string): number {
    return nodeidOf(this.content(Opcode.lookup, parent, text(name)));
  }

  forget(nodeid: number, count: number): void {
    this.request(Opcode.forget, nodeid, words64(count));
  }

  readdirplus(nodeid: number, offset: number, size: number): PlusEntry[] {
    return parsePlus(this.content(Opcode.readdirplus, nodeid, readArgument(0, offset, size)));
  }

  /** Opens with `open`'s flags. */
  open(nodeid: number, flags: number): number {
    return Number(this.content(Opcode.open, nodeid, words32(flags, 0)).readBigUInt64LE(0));
  }

  read(nodeid: number, handle: number, offset: number, size: number): string {
    return this.content(Opcode.read, nodeid, readArgument(handle, offset, size)).toString();
  }

  write(nodeid: number, handle: number, offset: number, data: string, caller?: Caller, writeFlags = 0): number {
    const bytes = Buffer.from(data);
    const argument = join(words64(handle, offset), words32(bytes.length, writeFlags), words64(0), words32(0, 0), bytes);
    return this.content(Opcode.write, nodeid, argument, caller).readUInt32LE(0);
  }
}

function isLayer(lower: object): lower is Layer<'sync'> {
  return typeof (lower as { lookup?: unknown }).lookup === 'function';
}

export function join(...parts: Uint8Array[]): Buffer {
  return Buffer.concat(parts);
}

export function words32(...values: number[]): Buffer {
  return Buffer.from(Uint32Array.from(values).buffer);
}

export function words64(...values: number[]): Buffer {
  return Buffer.from(BigUint64Array.from(values.map(BigInt)).buffer);
}

/** A zero-terminated name. */
export function text(name: string): Buffer {
  return join(encodeName(name), Buffer.from([0]));
}

/** `struct fuse_read_in`. */
export function readArgument(handle: number, offset: number, size: number): Buffer {
  return join(words64(handle, offset), words32(size, 0), words64(0), words32(0, 0));
}

export function nodeidOf(entry: Buffer): number {
  return Number(entry.readBigUInt64LE(0));
}

/** Members of a `struct fuse_attr` that starts at `at`. */
export function attrOf(
  reply: Buffer,
  at: number,
): { ino: number; size: number; mode: number; uid: number; gid: number } {
  return {
    ino: Number(reply.readBigUInt64LE(at)),
    size: Number(reply.readBigUInt64LE(at + 8)),
    mode: reply.readUInt32LE(at + 60),
    uid: reply.readUInt32LE(at + 68),
    gid: reply.readUInt32LE(at + 72),
  };
}

export interface PlusEntry {
  nodeid: number;
  attr: ReturnType<typeof attrOf>;
  name: string;
  ino: number;
  offset: number;
  type: number;
}

function parsePlus(content: Buffer): PlusEntry[] {
  const entries: PlusEntry[] = [];
  for (let at = 0; at < content.length; ) {
    const dirent = at + ENTRY_BYTES;
    const length = content.readUInt32LE(dirent + 16);
    entries.push({
      nodeid: Number(content.readBigUInt64LE(at)),
      attr: attrOf(content, at + 40),
      ino: Number(content.readBigUInt64LE(dirent)),
      offset: Number(content.readBigUInt64LE(dirent + 8)),
      type: content.readUInt32LE(dirent + 20),
      name: content.toString('utf8', dirent + DIRENT_BYTES, dirent + DIRENT_BYTES + length),
    });
    at = dirent + ((DIRENT_BYTES + length + 7) & ~7);
  }
  return entries;
}

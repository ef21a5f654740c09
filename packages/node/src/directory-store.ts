/**
 * A directory as a key-value store: one file a key below `data`, and a journal. A batch is appended to the journal and synced, which
 * is the moment at which it has happened; then the files follow, without a sync of their own. Opening repeats what the journal
 * holds. When it has grown, or at the end, the file system is synced once and the journal begins anew.
 */
import {
  closeSync,
  constants,
  fdatasyncSync,
  fstatSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  rmdirSync,
  unlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { crc32 } from 'node:zlib';
import { codeOf, type ErrorCode, FsError } from '@ovl/core';
import type { Store, StoreOperation } from '@ovl/core/kv';
import { errorOf, flockOrErrno, fsync, LOCK_EX, LOCK_NB, syncfs } from './syscalls.js';

/** A key-value store in a directory: what {@link directoryStore} answers with. */
export interface DirectoryStore extends Store<'sync'> {
  /** Brings the files up to date on disk and gives the directory back. */
  close(): void;
}

/** A journal of so many bytes is brought to an end. */
const JOURNAL_MAX = 8 << 20;
/** Length of what follows, and its checksum. */
const RECORD_HEADER = 8;
/** Longest name that a host takes is 255 bytes; a longer part of a key goes on in a directory of its own. */
const NAME_MAX = 200;
const EAGAIN = 11;

/**
 * Opens or makes the store in `path`, whose parent must exist. Throws EBUSY while another process, or another store of this one,
 * has it open.
 */
export function directoryStore(path: string): DirectoryStore {
  return converting(() => new JournaledDirectory(path));
}

class JournaledDirectory implements DirectoryStore {
  readonly #data: string;
  readonly #journal: number;
  #length = 0;
  /** Why nothing works any more: files and journal may differ, which the next opening sets right. */
  #broken: unknown;

  constructor(path: string) {
    this.#data = join(path, 'data');
    mkdirSync(path, { mode: 0o700, recursive: true });
    mkdirSync(this.#data, { mode: 0o700, recursive: true });
    this.#journal = openSync(join(path, 'journal'), constants.O_RDWR | constants.O_CREAT, 0o600);
    try {
      const locked = flockOrErrno(this.#journal, LOCK_EX | LOCK_NB);
      if (locked === -EAGAIN) throw new FsError('EBUSY', { syscall: 'open', path });
      if (locked !== 0) throw errorOf(-locked, 'flock', path);
      this.#replay();
      syncDirectory(path);
    } catch (error) {
      closeSync(this.#journal);
      throw error;
    }
  }

  get(key: string): Uint8Array | undefined {
    return this.#run(() => {
      try {
        return readFileSync(this.#file(key));
      } catch (error) {
        if (isMissing(error)) return undefined;
        throw error;
      }
    });
  }

  put(key: string, value: Uint8Array): void {
    this.batch([{ kind: 'put', key, value }]);
  }

  delete(key: string): void {
    this.batch([{ kind: 'delete', key }]);
  }

  list(prefix: string): string[] {
    return this.#run(() => {
      const found: string[] = [];
      const slash = prefix.lastIndexOf('/');
      const folder = slash === -1 ? [] : partsOf(prefix.slice(0, slash));
      const visit = (path: string, key: string): void => {
        for (const entry of entriesOf(path)) {
          const name = entry.name;
          if (!entry.isDirectory()) found.push(key + name.slice(0, -1));
          else visit(join(path, name), key + (name.endsWith('+') ? name.slice(0, -1) : `${name}/`));
        }
      };
      visit(join(this.#data, ...folder), slash === -1 ? '' : prefix.slice(0, slash + 1));
      return found.filter((key) => key.startsWith(prefix));
    });
  }

  batch(operations: readonly StoreOperation[]): void {
    for (const { key } of operations) partsOf(key);
    const record = encode(operations);
    this.#run(() => {
      try {
        writeAll(this.#journal, record, this.#length);
      } catch (error) {
        // Nothing has happened yet, if nothing of it stays.
        this.#orBroken(() => ftruncateSync(this.#journal, this.#length));
        throw error;
      }
      this.#orBroken(() => {
        fdatasyncSync(this.#journal);
        this.#length += record.length;
        this.#apply(operations);
        if (this.#length >= JOURNAL_MAX) this.#settle();
      });
    });
  }

  close(): void {
    try {
      if (this.#broken === undefined) this.#run(() => this.#settle());
    } finally {
      this.#broken ??= new FsError('EBADF', { syscall: 'close' });
      closeSync(this.#journal);
    }
  }

  #run<T>(work: () => T): T {
    if (this.#broken !== undefined) throw new FsError('EIO', { syscall: 'journal', cause: this.#broken });
    return converting(work);
  }

  #orBroken(work: () => void): void {
    try {
      work();
    } catch (error) {
      this.#broken = error;
      throw error;
    }
  }

  #replay(): void {
    const journal = Buffer.alloc(fstatSync(this.#journal).size);
    for (let at = 0; at < journal.length; ) {
      const count = readSync(this.#journal, journal, at, journal.length - at, at);
      if (count === 0) break;
      at += count;
    }
    for (const operations of decode(journal)) this.#apply(operations);
    if (journal.length > 0) this.#settle();
  }

  /** The files are on disk, so the journal has said what it had to. */
  #settle(): void {
    syncfs(this.#journal);
    ftruncateSync(this.#journal, 0);
    fsync(this.#journal);
    this.#length = 0;
  }

  #apply(operations: readonly StoreOperation[]): void {
    for (const operation of operations) {
      const file = this.#file(operation.key);
      if (operation.kind === 'put') this.#write(file, operation.value);
      else this.#remove(file);
    }
  }

  #write(file: string, value: Uint8Array): void {
    try {
      writeFileSync(file, value, { mode: 0o600 });
    } catch (error) {
      if (!isMissing(error)) throw error;
      mkdirSync(dirname(file), { mode: 0o700, recursive: true });
      writeFileSync(file, value, { mode: 0o600 });
    }
  }

  #remove(file: string): void {
    try {
      unlinkSync(file);
    } catch (error) {
      if (isMissing(error)) return;
      throw error;
    }
    // Directories that are empty go, up to the first that is not.
    for (let folder = dirname(file); folder !== this.#data; folder = dirname(folder)) {
      try {
        rmdirSync(folder);
      } catch {
        return;
      }
    }
  }

  #file(key: string): string {
    return `${join(this.#data, ...partsOf(key))}=`;
  }
}

/** The names that a key has on disk: directories, "+" after one that goes on; files get a "=" after theirs. */
function partsOf(key: string): string[] {
  const parts: string[] = [];
  for (const part of key.split('/')) {
    if (!/^[\w.%-]+$/.test(part) || /^\.+$/.test(part)) throw new FsError('EINVAL', { syscall: 'key', path: key });
    for (let at = 0; at < part.length; at += NAME_MAX) {
      const piece = part.slice(at, at + NAME_MAX);
      parts.push(at + NAME_MAX < part.length ? `${piece}+` : piece);
    }
  }
  return parts;
}

function entriesOf(path: string): { name: string; isDirectory(): boolean }[] {
  try {
    return readdirSync(path, { withFileTypes: true });
  } catch (error) {
    if (isMissing(error)) return [];
    throw error;
  }
}

function isMissing(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === 'ENOENT';
}

function writeAll(fd: number, bytes: Uint8Array, position: number): void {
  for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at, bytes.length - at, position + at);
}

function syncDirectory(path: string): void {
  const fd = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    fsync(fd);
  } finally {
    closeSync(fd);
  }
}

/** A record: its length and checksum, then each operation: length of the key, length of the value or −1, both. */
function encode(operations: readonly StoreOperation[]): Buffer {
  const parts: Uint8Array[] = [];
  for (const operation of operations) {
    const key = Buffer.from(operation.key, 'latin1');
    const head = Buffer.alloc(8);
    head.writeInt32LE(key.length, 0);
    head.writeInt32LE(operation.kind === 'put' ? operation.value.length : -1, 4);
    parts.push(head, key);
    if (operation.kind === 'put') parts.push(operation.value);
  }
  const body = Buffer.concat(parts);
  const header = Buffer.alloc(RECORD_HEADER);
  header.writeUInt32LE(body.length, 0);
  header.writeUInt32LE(crc32(body), 4);
  return Buffer.concat([header, body]);
}

/** The records that are whole. One that is not was never answered for, and so is nothing behind it. */
function* decode(journal: Buffer): Generator<StoreOperation[]> {
  for (let at = 0; at + RECORD_HEADER <= journal.length; ) {
    const body = journal.subarray(at + RECORD_HEADER, at + RECORD_HEADER + journal.readUInt32LE(at));
    if (body.length < journal.readUInt32LE(at) || crc32(body) !== journal.readUInt32LE(at + 4)) return;
    at += RECORD_HEADER + body.length;
    const operations: StoreOperation[] = [];
    for (let i = 0; i < body.length; ) {
      const [keyLength, valueLength] = [body.readInt32LE(i), body.readInt32LE(i + 4)];
      const key = body.toString('latin1', i + 8, i + 8 + keyLength);
      i += 8 + keyLength + Math.max(0, valueLength);
      operations.push(
        valueLength < 0 ? { kind: 'delete', key } : { kind: 'put', key, value: body.subarray(i - valueLength, i) },
      );
    }
    yield operations;
  }
}

/** What node:fs throws, as the layers' errors. */
function converting<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (error instanceof FsError) throw error;
    const { errno, syscall, path } = error as NodeJS.ErrnoException;
    const code: ErrorCode = errno === undefined ? 'EIO' : codeOf(-errno);
    throw new FsError(code, {
      ...(syscall === undefined ? {} : { syscall }),
      ...(path === undefined ? {} : { path }),
      cause: error,
    });
  }
}

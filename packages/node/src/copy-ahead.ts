/**
 * Who changes a whole tree (`chmod -R`) has its small files copied up one after another, as a directory
 * lists them. So the next ones are guessed and their data is copied on the other thread (staging-beside.ts), into files of
 * the work directory: what is asked for then lacks its attributes and its name only. What nobody asks for goes soon. A
 * guess never fails anything: a copy that is missing or no longer true is made as ever.
 */
import { DT_REG, isFsError } from '@ovl/core';
import { type HostNode, directories } from './host-nodes.js';
import { readEntries } from './host-readdir.js';
import { hasRoom } from './room.js';
import { State, type StagingTask, WORDS } from './staging-beside.js';
import { O_DIRECTORY, O_NOFOLLOW, O_RDONLY, close, openat, statxFd, unlinkatOrErrno } from './syscalls.js';
import type { WorkDirectory } from './work-dir.js';

/** Guesses that have to come true in a row before anything is done for one. */
const PROVEN = 2;
/** Copies made ahead at one time. */
const WINDOW = 24;
/** Larger directories are not listed for a guess. */
const MAX_DIRECTORY_BYTES = 256 << 10;
/** After so many vain guesses in a row the pause is no longer doubled. */
const MAX_VAIN = 12;

/** A copy of a whole file, which is the taker's from then on. */
export interface CopyMade {
  /** In the work directory. */
  name: string;
  /** Open for reading and writing. */
  fd: number;
  /** What its source was like, see `likeness`. */
  source: Int32Array;
}

interface Ahead {
  words: Int32Array;
  at: number;
  name: string;
  /** The source's directory, pinned as long as the other thread may use it. */
  parent: HostNode;
}

export class CopyAhead {
  readonly #work: WorkDirectory;
  readonly #post: (task: StagingTask) => void;
  /** By the names of their sources in {@link #dir}. */
  readonly #files = new Map<string, Ahead>();
  /** Unwanted, but being made. */
  #ending: Ahead[] = [];
  #dir: HostNode | undefined;
  /** The last file of the directory that was asked for. */
  #last = '';
  /** The files of {@link #dir} in the order in which they are asked for, once listed. */
  #names: readonly string[] | undefined;
  #order: 'as listed' | 'by name' = 'as listed';
  /** Where `#last` is among the names, and the first name for which nothing was done. */
  #at = 0;
  #next = 0;
  #proven = 0;
  #vain = 0;
  /** How many files to let pass before the next guess. */
  #pause = 0;

  constructor(work: WorkDirectory, post: (task: StagingTask) => void) {
    this.#work = work;
    this.#post = post;
  }

  /** Whether nothing is left to be dropped. */
  get isEmpty(): boolean {
    return this.#files.size === 0 && this.#ending.length === 0;
  }

  /** The copy of `source`, if it was made ahead. */
  take({ parent, name: source }: HostNode): CopyMade | undefined {
    const ahead = parent === this.#dir ? this.#files.get(source) : undefined;
    if (ahead === undefined) return undefined;
    this.#files.delete(source);
    const { words, at, name } = ahead;
    if (Atomics.load(words, at) === State.running) Atomics.wait(words, at, State.running); // sooner than by oneself
    if (this.#end(ahead) !== State.staged) return undefined;
    return { name, fd: words[at + 1] as number, source: words.subarray(at + 2, at + WORDS) };
  }

  /** `source` is being copied up, to a file with the permission bits of `mode`. */
  asked(source: HostNode, mode: number): void {
    try {
      if (source.parent !== undefined) this.#learn(source.parent, source.name, mode);
    } catch (error) {
      if (!isFsError(error)) throw error;
      this.#missed();
    }
  }

  #learn(parent: HostNode, name: string, mode: number): void {
    if (parent !== this.#dir) this.#enter(parent, name);
    else if (this.#pause > 0) this.#pause--;
    else if (this.#follows(name)) {
      this.#proven++;
      this.#vain = 0;
    } else this.#missed();
    this.#last = name;
    if (this.#proven >= PROVEN && this.#names !== undefined) this.#goOn(parent, mode);
  }

  #enter(dir: HostNode, name: string): void {
    if (this.#files.size > 0) this.#missed();
    this.#dir = dir;
    this.#names = undefined;
    if (this.#proven < PROVEN) return;
    const names = this.#list(dir);
    this.#at = this.#order === 'by name' ? names.sort().indexOf(name) : names.indexOf(name);
    this.#next = 0;
    if (this.#at >= 0) this.#names = names;
  }

  #follows(name: string): boolean {
    if (this.#names !== undefined) return this.#skipTo(name, this.#names);
    const listed = this.#list(this.#dir as HostNode);
    for (const order of ['as listed', 'by name'] as const) {
      const names = order === 'by name' ? listed.toSorted() : listed;
      const at = names.indexOf(this.#last) + 1;
      if (at === 0 || names[at] !== name) continue;
      this.#names = names;
      this.#order = order;
      this.#at = at;
      this.#next = 0;
      return true;
    }
    return false;
  }

  /** What was copied up before is not asked for; but a guess proves nothing if it may be any of many. */
  #skipTo(name: string, names: readonly string[]): boolean {
    const from = this.#at + 1;
    const at = names.slice(from, from + (this.#proven < PROVEN ? 1 : WINDOW)).indexOf(name);
    if (at < 0) return false;
    for (const skipped of names.slice(from, from + at)) this.#pass(skipped);
    this.#at = from + at;
    return true;
  }

  #pass(source: string): void {
    const ahead = this.#files.get(source);
    this.#files.delete(source);
    if (ahead !== undefined) this.#discard(ahead);
  }

  /** After a wrong guess: tried less and less often in vain. */
  #missed(): void {
    this.drop();
    this.#names = undefined;
    this.#proven = 0;
    this.#vain = Math.min(this.#vain + 1, MAX_VAIN);
    this.#pause = (1 << this.#vain) - 1;
  }

  #list(dir: HostNode): string[] {
    const fd = openat(directories.fd(dir), '.', O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    try {
      if (statxFd(fd).size > MAX_DIRECTORY_BYTES) return [];
      return readEntries(fd).flatMap(({ type, name }) => (type === DT_REG ? [name] : []));
    } finally {
      close(fd);
    }
  }

  #goOn(dir: HostNode, mode: number): void {
    if (this.#files.size > WINDOW / 2) return;
    const names = this.#names ?? [];
    this.#next = Math.max(this.#next, this.#at + 1);
    const sources = names.slice(this.#next, this.#next + WINDOW - this.#files.size);
    if (sources.length === 0 || !hasRoom(this.#work.fd, 0)) return;
    this.#next += sources.length;
    const memory = new SharedArrayBuffer(sources.length * WORDS * Int32Array.BYTES_PER_ELEMENT);
    const words = new Int32Array(memory);
    const files = sources.map((source, i) => {
      const dirfd = directories.pin(dir);
      const ahead = { words, at: i * WORDS, name: this.#work.nextName(), parent: dir };
      this.#files.set(source, ahead);
      return { name: ahead.name, dirfd, source };
    });
    this.#post({ kind: 'stage', memory, work: this.#work.fd, mode: mode & 0o777, files });
  }

  /** Lets go of what nobody has asked for. */
  drop(): void {
    const unwanted = [...this.#files.values(), ...this.#ending];
    this.#files.clear();
    this.#ending = [];
    for (const ahead of unwanted) this.#discard(ahead);
  }

  #discard(ahead: Ahead): void {
    const state = this.#end(ahead);
    if (state === State.running) this.#ending.push(ahead);
    if (state !== State.staged) return;
    close(ahead.words[ahead.at + 1] as number);
    unlinkatOrErrno(this.#work.fd, ahead.name); // or the next start does it
  }

  /** Its state, after which the other thread has nothing more to do with it unless it is "running". */
  #end({ words, at, parent }: Ahead): number {
    const state = Atomics.compareExchange(words, at, State.waiting, State.unwanted);
    if (state !== State.running) directories.unpin(parent);
    return state;
  }

  /** Before the work directory is closed. */
  close(): void {
    this.drop();
    for (const { words, at } of this.#ending) Atomics.wait(words, at, State.running);
    this.drop();
  }
}

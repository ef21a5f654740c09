/**
 * Makes random paths meet something: a path may be generated as "the nth file that is probably there", and is turned into
 * a real one here, by following in outline what the operations before it do. A guess that is wrong is a test, too.
 */
import type { Case, Layers, Operation, Path, TreeEntry } from './operations.js';

/** "marked": has had an extended attribute. */
export type Kind = 'file' | 'directory' | 'symlink' | 'marked' | 'any';

/** With `name`: that name in the chosen directory. */
export interface Pick {
  pick: number;
  of: Kind;
  name?: string;
}

/** A case whose operations may have {@link Pick}s for paths. */
export type CaseSketch = Omit<Case, 'history' | 'phases'> & { history: Sketch[]; phases: Sketch[][] };

/** An operation with paths that are yet to be chosen. */
export type Sketch = { op: Operation['op'] };

class Pool {
  /** What is probably there. */
  readonly #paths = new Map<string, Set<Kind>>();

  constructor(layers: Layers) {
    for (const entry of layers.flat()) this.#addEntry(entry);
  }

  #addEntry({ path, node, xattrs }: TreeEntry): void {
    const parts = path.split('/');
    for (let i = 1; i < parts.length; i++) this.#add(parts.slice(0, i).join('/'), 'directory');
    if (node.type === 'whiteout') return;
    this.#add(path, node.type === 'directory' || node.type === 'symlink' ? node.type : 'file');
    if (Object.keys(xattrs).length > 0) this.#paths.get(path)?.add('marked');
  }

  #add(path: string, kind: Kind): void {
    if (!this.#paths.has(path)) this.#paths.set(path, new Set([kind, 'any']));
  }

  choose({ pick, of, name }: Pick): Path {
    const wanted = [...this.#paths].filter(([, kinds]) => kinds.has(of)).map(([path]) => path);
    const chosen = wanted[pick % wanted.length] ?? '';
    if (name === undefined) return { path: chosen === '' ? 'a' : chosen };
    return { path: chosen === '' ? name : `${chosen}/${name}` };
  }

  follow(operation: Operation): void {
    switch (operation.op) {
      case 'mkdir':
        this.#add(operation.path.path, 'directory');
        break;
      case 'create':
      case 'overwrite':
      case 'mknod':
        this.#add(operation.path.path, 'file');
        break;
      case 'symlink':
        this.#add(operation.path.path, 'symlink');
        break;
      case 'link':
        this.#add(operation.to.path, 'file');
        break;
      case 'setxattr':
        this.#paths.get(operation.path.path)?.add('marked');
        break;
      case 'unlink':
      case 'rmdir':
        this.#paths.delete(operation.path.path);
        break;
      case 'rename':
        this.#move(operation.from.path, operation.to.path);
        break;
      default:
    }
  }

  #move(from: string, to: string): void {
    const before = [...this.#paths]; // what is moved below itself would be met again
    for (const [path, kinds] of before) {
      if (path !== from && !path.startsWith(`${from}/`)) continue;
      this.#paths.delete(path);
      this.#paths.set(to + path.slice(from.length), kinds);
    }
  }
}

export function completed(sketch: CaseSketch): Case {
  const pool = new Pool(sketch.layers);
  const complete = (partial: Sketch): Operation => {
    const fields = Object.entries(partial).map(([key, value]) => [key, isPick(value) ? pool.choose(value) : value]);
    const operation = Object.fromEntries(fields) as Operation;
    pool.follow(operation);
    return operation;
  };
  const history = sketch.history.map(complete);
  return { ...sketch, history, phases: sketch.phases.map((phase) => phase.map(complete)) };
}

function isPick(value: unknown): value is Pick {
  return typeof value === 'object' && value !== null && 'pick' in value;
}

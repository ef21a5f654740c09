// A project that an agent may change as it likes. The directory is the lower layer and is only read; every change is kept in
// memory, where it can be looked at, gone back on, made in the directory after all, or forgotten.
import { mkdtempSync, rmSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { type Layer, memoryLayer, overlay, runSync } from '@ovl/core';
import { apply, type Change, diff } from '@ovl/core/changes';
import { type Checkpoint, type SnapshotOverlay, snapshotOverlay } from '@ovl/core/snapshots';
import { createFs, hostLayer, hostUpper, type NodeFs } from '@ovl/node';

export class Sandbox {
  /** The view: what a tool does here, it does to no file of the project. "/" is the project, and nothing leads out of it. */
  readonly fs: NodeFs;
  readonly #project: string;
  readonly #below: Layer<'sync'>;
  readonly #view: SnapshotOverlay<'sync'>;

  constructor(project: string) {
    this.#project = resolve(project);
    this.#below = hostLayer(this.#project);
    this.#view = snapshotOverlay({ lower: [this.#below], upper: memoryLayer() });
    this.fs = createFs(this.#view, { cwd: '/' });
  }

  /** Keeps the present state; costs the same however much was written. */
  checkpoint(): Checkpoint {
    return runSync(this.#view.checkpoint(memoryLayer()));
  }

  /** Goes back to a state, and forgets what came after it. */
  rollback(to: Checkpoint): void {
    runSync(this.#view.rollback(memoryLayer(), to));
  }

  /** What is different from the project, whatever was tried in between. */
  changes(): Change[] {
    return runSync(diff(this.#view, { older: overlay({ lower: [this.#below] }) }));
  }

  /**
   * Makes the changes in the project: all of them, or none. Throws a ConflictError that names every file which somebody has
   * changed in the project meanwhile.
   */
  keep(changes: Change[]): void {
    // Scratch on the project's file system: what is made in it is moved into place.
    const work = mkdtempSync(join(dirname(this.#project), '.sandbox-'));
    const project = overlay({ lower: [], upper: hostUpper({ upper: this.#project, work }) });
    try {
      runSync(apply(changes, project));
    } finally {
      runSync(project.close());
      rmSync(work, { recursive: true });
    }
  }

  /** Forgets everything, and lets go of the project. */
  close(): void {
    runSync(this.#view.close());
  }
}

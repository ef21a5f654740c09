/**
 * Makes changes to another tree, all of them or none. In order: every change is compared with what the target has, and nothing
 * is written as long as one is in conflict; everything new is staged (plan.ts); the steps are made one after the other, and
 * taken back in reverse where one fails.
 */
import { FsError, isFsError } from '../errors.js';
import type { Overlay } from '../overlay.js';
import type { Mode, Operation } from '../run.js';
import type { Change } from './change.js';
import { type Conflict, Examination } from './conflicts.js';
import { Planner, type Plan } from './plan.js';
import { removeTree, Staging, timesOf } from './staging.js';
import { Held, lookupPath, State } from './state.js';
import { type Dress, inverse, parentOf, perform, setDress, type Step } from './steps.js';

/** What {@link apply} does where the target has changed as well. */
export interface ApplyOptions {
  /**
   * What becomes of a change that is in conflict with what the target has. "error" (default): none is made. "ours": the target
   * stays as it is there, and below where a directory is concerned. "theirs": the change is made, and what is in its way goes.
   */
  onConflict?: 'error' | 'ours' | 'theirs' | ((conflict: Conflict) => 'ours' | 'theirs');
}

/** What {@link apply} has done. */
export interface Applied {
  /** Changes made; those that the target had already are not among them. */
  changes: number;
  /** Conflicts that `onConflict` has decided. */
  conflicts: { conflict: Conflict; kept: 'ours' | 'theirs' }[];
  /** A directory in the target that could not be removed at the end: it holds nothing of use. */
  leftover?: string;
}

/** Changes are in conflict with what the target has; it is as it was. `code` is ESTALE: it is not what they were based on. */
export class ConflictError extends FsError {
  readonly conflicts: readonly Conflict[];

  constructor(conflicts: readonly Conflict[]) {
    super('ESTALE', { syscall: 'apply', path: conflicts[0]?.path ?? '/' });
    this.name = 'ConflictError';
    this.conflicts = conflicts;
  }
}

/** A step failed, which is `cause`, and then one back: of `plan`, the first `done` steps are made. */
export class RollbackError extends FsError {
  readonly plan: Plan;
  readonly done: number;

  constructor(plan: Plan, done: number, cause: unknown) {
    super('EIO', { syscall: 'apply', path: plan.staging, cause });
    this.name = 'RollbackError';
    this.plan = plan;
    this.done = done;
  }
}

/**
 * Makes changes, as {@link diff} gives them or some of these, to `target`: any overlay with an upper layer; a plain directory
 * is one without lower layers. Whoever takes some of the changes takes a new directory with what is in it, and of hard links
 * all. What is renamed is renamed, with what the target has in it. Nobody else may change the target meanwhile.
 *
 * Throws ConflictError before anything is written, EROFS for a target without an upper, and otherwise what the target
 * throws after it was put back as it was; RollbackError where that failed, too. An overlay as the target copies up what is
 * deleted or replaced, so that it can be put back, and needs what renames of directories need (`redirectDir`, `deepCopyUp`).
 */
export function* apply<M extends Mode>(
  changes: Iterable<Change>,
  target: Overlay<M>,
  options: ApplyOptions = {},
): Operation<Applied> {
  const prepared = yield* prepare(changes, target, options);
  if (prepared.plan === undefined) return prepared.applied;
  yield* carryOut(target, prepared.plan);
  try {
    yield* clear(target, prepared.plan);
  } catch (error) {
    if (!isFsError(error)) throw error;
    prepared.applied.leftover = prepared.plan.staging;
  }
  return prepared.applied;
}

/** What {@link apply} does before its first step: everything new is staged, and the view is as it was but for that. */
export function* prepare<M extends Mode>(
  changes: Iterable<Change>,
  target: Overlay<M>,
  { onConflict = 'error' }: ApplyOptions = {},
): Operation<{ applied: Applied; plan: Plan | undefined }> {
  if (!target.writable) throw new FsError('EROFS', { syscall: 'apply' });
  const held = new Held();
  try {
    const list = [...changes];
    for (const { basePath, before, directory } of list) {
      yield* held.directory(directory.overlay, directory.path);
      if (before !== undefined) yield* held.directory(before.overlay, parentOf(before.path));
      for (const path of [basePath, before?.path])
        if (path !== undefined) yield* held.directory(target, parentOf(path));
    }
    return yield* prepareHeld(list, target, onConflict, held);
  } finally {
    held.release();
  }
}

function* prepareHeld(
  changes: readonly Change[],
  target: Overlay,
  onConflict: NonNullable<ApplyOptions['onConflict']>,
  held: Held,
): Operation<{ applied: Applied; plan: Plan | undefined }> {
  const state = yield* State.of(target);
  const decided: Applied['conflicts'] = [];
  const fatal: Conflict[] = [];
  const examination = new Examination(state, changes, (conflict) => {
    const kept =
      onConflict === 'error' ? 'theirs' : typeof onConflict === 'function' ? onConflict(conflict) : onConflict;
    const isImpossible = conflict.reason === 'orphaned' && kept === 'theirs';
    if (onConflict === 'error' || isImpossible) fatal.push(conflict);
    else decided.push({ conflict, kept });
    return kept;
  });
  yield* examination.run();
  if (fatal.length > 0) throw new ConflictError(fatal);

  const { verdicts } = examination;
  const made = verdicts.filter(
    ({ action, conflict }) => action !== 'done' && (action !== 'join' || conflict !== undefined),
  );
  const applied: Applied = { changes: made.length, conflicts: decided };
  if (made.length === 0) return { applied, plan: undefined };
  const root = yield* target.getattr(target.root);
  const staging = yield* Staging.open(state);
  try {
    yield* held.directory(target, staging.path);
    return { applied, plan: yield* new Planner(state, staging, verdicts, root).run() };
  } catch (error) {
    yield* twice(() => staging.remove());
    yield* setDress(target, target.root, { attributes: timesOf(root), xattrs: new Map() });
    throw error;
  }
}

/**
 * Makes the steps of a plan, or none of them: throws as {@link apply}. What the plan has taken away is still there, in
 * `plan.staging`, for {@link takeBack} or {@link clear}.
 */
export function* carryOut(target: Overlay, plan: Plan): Operation<void> {
  const { steps } = plan;
  const held = new Held();
  let done = 0;
  let mark: number | undefined;
  try {
    for (const step of steps) for (const path of pathsOf(step)) yield* held.directory(target, parentOf(path));
    for (; done < steps.length; done++) {
      const step = steps[done] as Step;
      mark = undefined;
      if (step.kind === 'exchange') mark = (yield* lookupPath(target, step.a))?.attributes.ino;
      yield* perform(target, step);
    }
    for (const [path, dress] of plan.times) if (path !== '/') yield* setTimes(target, path, dress);
  } catch (error) {
    const next = steps[done];
    try {
      if (next !== undefined && (yield* twice(() => isDone(target, next, mark)))) done++;
    } catch {
      throw new RollbackError(plan, done, error);
    }
    held.release();
    yield* takeBack(target, plan, done, error);
    throw error;
  } finally {
    held.release();
  }
}

function pathsOf(step: Step): string[] {
  if (step.kind === 'set') return [step.path];
  return step.kind === 'move' ? [step.from, step.to] : [step.a, step.b];
}

/** Undoes the first `done` steps of a plan (default: all), and removes what was staged. Throws RollbackError. */
export function* takeBack(
  target: Overlay,
  plan: Plan,
  done: number = plan.steps.length,
  cause?: unknown,
): Operation<void> {
  let left = done;
  try {
    for (; left > 0; left--) yield* twice(() => perform(target, inverse(plan.steps[left - 1] as Step)));
    yield* twice(() => removeTree(target, plan.staging));
    for (const [path, dress] of plan.timesBefore) yield* twice(() => setTimes(target, path, dress));
  } catch (error) {
    throw new RollbackError(plan, left, cause ?? error);
  }
}

/** Removes what a plan that was carried out has taken away. */
export function* clear(target: Overlay, plan: Plan): Operation<void> {
  yield* twice(() => removeTree(target, plan.staging));
  for (const [path, dress] of plan.times) if (path === '/') yield* twice(() => setTimes(target, path, dress));
}

/** Whether a step that failed was made all the same, or in part: a layer may fail after the change of names. */
function* isDone(target: Overlay, step: Step, mark: number | undefined): Operation<boolean> {
  if (step.kind === 'set') return true; // its inverse may be repeated, too
  const there = yield* lookupPath(target, step.kind === 'move' ? step.to : step.b);
  return step.kind === 'move' ? there !== undefined : mark !== undefined && there?.attributes.ino === mark;
}

function* setTimes(target: Overlay, path: string, dress: Dress): Operation<void> {
  const entry = yield* lookupPath(target, path);
  if (entry !== undefined) yield* setDress(target, entry.inode, dress);
}

/** Once more where it fails: what puts things right is not given up for one bad answer. */
function* twice<T>(operation: () => Operation<T>): Operation<T> {
  try {
    return yield* operation();
  } catch {
    return yield* operation();
  }
}

// Changes of an overlay with checkpoints, whose layers are not numbered from 0 and may leave gaps where some were dropped.
import { memoryLayer, overlay, runSync } from '@ovl/core';
import { type Change, commit, diff, explain } from '@ovl/core/changes';
import { createFs, type Fs } from '@ovl/core/fs';
import { type SnapshotOverlay, snapshotOverlay } from '@ovl/core/snapshots';
import { beforeEach, expect, it } from 'vitest';

const base = memoryLayer({ from: { a: 'a', dir: { x: 'x', y: 'yy' }, gone: 'g' } });

let view: SnapshotOverlay<'sync'>;
let fs: Fs;
beforeEach(() => {
  view = snapshotOverlay({ lower: [base], upper: memoryLayer() });
  fs = createFs(view);
});

const checkpoint = () => runSync(view.checkpoint(memoryLayer()));
const brief = (changes: Change[]): string[] =>
  changes.map(({ kind, path, from }) => `${kind} ${path}${from === undefined ? '' : ` from ${from}`}`);
const sinceCheckpoint = (): string[] => brief(runSync(diff(view)));
const sinceBase = (): string[] => brief(runSync(diff(view, { older: overlay({ lower: [base] }) })));

it('are those since the last checkpoint', () => {
  fs.writeFileSync('/new', 'n');
  fs.renameSync('/dir', '/moved');
  expect(sinceCheckpoint()).toEqual(['renamed /moved from /dir', 'added /new']);
  checkpoint();
  expect(sinceCheckpoint()).toEqual([]);
  fs.renameSync('/moved/x', '/x');
  fs.unlinkSync('/new');
  expect(sinceCheckpoint()).toEqual(['deleted /new', 'renamed /x from /moved/x']);
});

it('or since another state', () => {
  fs.writeFileSync('/new', 'n');
  checkpoint();
  fs.renameSync('/dir', '/moved');
  checkpoint();
  fs.writeFileSync('/moved/x', 'other');
  expect(sinceBase()).toEqual(['renamed /moved from /dir', 'modified /moved/x', 'added /new']);
});

it('also where layers were dropped', () => {
  fs.renameSync('/dir', '/moved');
  const kept = checkpoint();
  fs.rmSync('/moved', { recursive: true });
  checkpoint();
  fs.writeFileSync('/lost', '');
  runSync(view.rollback(memoryLayer(), kept));
  expect(sinceCheckpoint()).toEqual([]);
  expect(sinceBase()).toEqual(['renamed /moved from /dir']);
  fs.writeFileSync('/more', '');
  checkpoint();
  fs.renameSync('/more', '/most');
  fs.unlinkSync('/a');
  expect(sinceCheckpoint()).toEqual(['deleted /a', 'renamed /most from /more']);
  expect(sinceBase()).toEqual(['deleted /a', 'added /most', 'renamed /moved from /dir']);
});

it('and a path is explained by the layers that are there, numbered from the top', () => {
  fs.unlinkSync('/gone');
  const kept = checkpoint();
  checkpoint();
  runSync(view.rollback(memoryLayer(), kept));
  fs.renameSync('/a', '/b');
  const { layers, shown, renamedTo } = runSync(explain(view, '/a'));
  expect(layers.map(({ layer, role, status }) => `${layer} ${role} ${status}`)).toEqual([
    '0 upper whiteout',
    '1 lower absent',
    '2 lower hidden',
  ]);
  expect({ shown, renamedTo }).toEqual({ shown: undefined, renamedTo: '/b' });
  expect(runSync(explain(view, '/gone')).layers.map(({ status }) => status)).toEqual(['absent', 'whiteout', 'hidden']);
});

it('and what was written since is committed as a layer', () => {
  fs.unlinkSync('/gone');
  checkpoint();
  fs.writeFileSync('/a', 'other');
  const layer = runSync(commit(view));
  const again = createFs(overlay({ lower: [layer, ...view.sealed, base] }));
  expect([again.readFileSync('/a', 'utf8'), again.readdirSync('/')]).toEqual(['other', ['a', 'dir']]);
});

// Node ids and what becomes of the memory behind them when the kernel forgets.
import { Overlay, memoryLayer, runSync } from '@ovl/core';
import { expect, test } from 'vitest';
import { Idle, idle } from '../src/fuse/idle.js';
import { NodeTable } from '../src/fuse/tables.js';

test('an idle moment is used once much was forgotten and little is left', () => {
  let collections = 0;
  const moments = new Idle(() => collections++);
  moments.know(50_000);
  expect(moments.patience).toBe(-1);
  for (let i = 0; i < 30_000; i++) moments.know(-1);
  expect(moments.patience).toBe(-1); // to look through the 20,000 that are left would take longer than it brings
  for (let i = 0; i < 15_000; i++) moments.know(-1);
  expect(moments.patience).toBeGreaterThan(0);
  moments.use();
  expect(collections).toBe(1);
  expect(moments.patience).toBe(-1);
});

test('memory is given back when the kernel has forgotten many nodes', () => {
  const names = Array.from({ length: 20_000 }, (_, i) => `file${i}`);
  const lower = memoryLayer({ from: Object.fromEntries(names.map((name) => [name, ''])) });
  const overlay = runSync(Overlay.open<'sync'>({ lower: [lower] }));
  const nodes = new NodeTable(overlay);
  const ids = names.map((name) => nodes.hold(runSync(overlay.lookup(overlay.root, name))!.inode));
  expect(new Set(ids).size).toBe(names.length);
  expect(ids.map((id) => nodes.get(id).name)).toEqual(names);
  expect(idle.patience).toBe(-1);
  const before = process.memoryUsage().heapUsed;
  for (const id of ids) nodes.forget(id, 1);
  expect(nodes.size).toBe(1);
  expect(overlay.inodeCount).toBe(1);
  expect(() => nodes.get(ids[0]!)).toThrow(expect.objectContaining({ code: 'ESTALE' }));
  expect(idle.patience).toBeGreaterThan(0);
  idle.use();
  expect(process.memoryUsage().heapUsed).toBeLessThan(before);
  nodes.close();
});

// Overlays for the consumers' tests: layers that were each made by working on what is below, so that whiteouts and opaque
// directories stand where they come about. The lowest is in memory or a directory of the host.
import * as hostFs from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Layer, memoryLayer, type Overlay, overlay } from '@ovl/core';
import { createFs, hostLayer, type NodeFs } from '@ovl/node';
import { onTestFinished } from 'vitest';

/** What makes a layer: changes to what the layers below show. */
export type Step = (fs: NodeFs) => void;

/** Paths from the root to contents; a trailing slash is a directory, `{ link }` a symbolic link. */
export type Files = Record<string, string | { link: string }>;

/** Where the lowest layer's files are. */
export const BASES = ['memory', 'a host directory'] as const;
export type Base = (typeof BASES)[number];

export interface Stacked {
  overlay: Overlay<'sync'>;
  upper: Layer<'sync'>;
  fs: NodeFs;
}

/** An empty memory layer on a layer for each step, on the base with its files. */
export function stacked(base: Base, files: Files, ...steps: Step[]): Stacked {
  const lower: Layer<'sync'>[] = [baseOf(base, files)];
  for (const step of steps) {
    const upper = memoryLayer();
    step(createFs(overlay({ lower, upper }), { cwd: '/' }));
    lower.unshift(upper);
  }
  const upper = memoryLayer();
  const made = overlay({ lower, upper });
  return { overlay: made, upper, fs: createFs(made, { cwd: '/' }) };
}

/** A directory that is gone when the test is over. */
export function temporaryDirectory(): string {
  const path = hostFs.mkdtempSync(join(tmpdir(), 'ovl-consumer-'));
  onTestFinished(() => rm(path, { recursive: true, force: true }));
  return path;
}

/** Writes files, with the directories they need, below `at`. */
export function write(fs: Pick<NodeFs, 'mkdirSync' | 'symlinkSync' | 'writeFileSync'>, files: Files, at = ''): void {
  for (const [path, content] of Object.entries(files)) {
    const isDirectory = path.endsWith('/');
    fs.mkdirSync(join(at, isDirectory ? path : join(path, '..')), { recursive: true });
    if (isDirectory) continue;
    if (typeof content === 'string') fs.writeFileSync(join(at, path), content);
    else fs.symlinkSync(content.link, join(at, path));
  }
}

function baseOf(base: Base, files: Files): Layer<'sync'> {
  if (base === 'memory') {
    const layer = memoryLayer();
    write(createFs(overlay({ lower: [], upper: layer }), { cwd: '/' }), files);
    return layer;
  }
  const path = temporaryDirectory();
  write(hostFs, files, path);
  const layer = hostLayer(path);
  onTestFinished(() => layer.close?.());
  return layer;
}

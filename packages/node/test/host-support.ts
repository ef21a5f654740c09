// Temporary directories for the tests of the host layers, on the machine's own file system or one they ask for.
import { mkdirSync, mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Layer, type LayerNode, S_IFDIR, S_IFREG, type UpperLayer } from '@ovl/core';
import { spawnSync } from 'node:child_process';
import { onTestFinished } from 'vitest';
import { type HostUpperOptions, hostUpper } from '../src/host-upper.js';

/** Really: the root of a user namespace owns nobody else's files and may mount little. */
export const isRoot: boolean =
  process.getuid?.() === 0 && /^\s*0\s+0\s+4294967295$/m.test(readFileSync('/proc/self/uid_map', 'utf8'));
export const uid: number = process.getuid?.() ?? 0;
export const gid: number = process.getgid?.() ?? 0;

/** A directory that goes after the test. By `rm`, because Node gives up on paths longer than PATH_MAX. */
export function temporary(base: string = tmpdir()): string {
  const path = mkdtempSync(join(base, 'ovl-host-'));
  onTestFinished(() => {
    spawnSync('rm', ['-rf', path]);
  });
  return path;
}

export interface Bench {
  upper: UpperLayer<'sync'>;
  /** Paths of the upper directory and of `<workdir>/work`. */
  dir: string;
  work: string;
  base: string;
}

/** An empty upper, closed after the test. */
export function freshUpper(base: string = temporary(), options: Partial<HostUpperOptions> = {}): Bench {
  mkdirSync(`${base}/upper`, { recursive: true });
  mkdirSync(`${base}/workdir`, { recursive: true });
  const upper = hostUpper({ ...options, upper: `${base}/upper`, work: `${base}/workdir` });
  onTestFinished(() => upper.close?.());
  return { upper, dir: `${base}/upper`, work: `${base}/workdir/work`, base };
}

export function makeFile(upper: UpperLayer<'sync'>, dir: LayerNode, name: string, content = ''): LayerNode {
  const { node } = upper.create({ dir, name }, { mode: S_IFREG | 0o600, uid, gid });
  if (content !== '') writeAll(upper, node, content);
  return node;
}

export function makeDir(upper: UpperLayer<'sync'>, dir: LayerNode, name: string): LayerNode {
  return upper.create({ dir, name }, { mode: S_IFDIR | 0o700, uid, gid }).node;
}

export function writeAll(upper: UpperLayer<'sync'>, node: LayerNode, content: string): void {
  const file = upper.openWritable(node);
  file.write(Buffer.from(content), 0);
  file.close();
}

export function readAll(layer: Pick<Layer<'sync'>, 'open' | 'getattr'>, node: LayerNode): string {
  const file = layer.open(node);
  const buffer = Buffer.alloc(layer.getattr(node).size + 10);
  const length = file.read(buffer, 0);
  file.close();
  return buffer.toString('utf8', 0, length);
}

/** The code of what `act` throws. */
export function codeOf(act: () => unknown): string | undefined {
  try {
    act();
  } catch (error) {
    return (error as { code?: string }).code ?? String(error);
  }
  return undefined;
}

// Which listings the kernel is told to forget, so that reading them again brings the attributes of what lies in them.
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { NOTIFY_INVAL_INODE_BYTES, NotifyCode } from '../src/fuse/protocol.js';
import { StaleAttributes } from '../src/fuse/stale-attributes.js';
import { Client } from './fuse-support.js';

const ROOT = 1;
const SIZE = 32768;

let directory: string;
let device: number;
let client: Client;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'ovl-stale-'));
  device = openSync(join(directory, 'device'), 'wx+');
});

afterEach(() => {
  closeSync(device);
  rmSync(directory, { recursive: true });
});

/** A tree with so many directories and files in `top`, which lies in the root beside `other`. */
function serve(directories: number, files = 0): void {
  const top: Record<string, object | string> = {};
  for (let i = 0; i < directories; i++) top[`d${i}`] = { file: '' };
  for (let i = 0; i < files; i++) top[`f${i}`] = '';
  client = new Client({ top, other: { inner: {} } } as never);
  client.server.staleAttributes = new StaleAttributes(device);
}

function begin(nodeid: number): { name: string; nodeid: number }[] {
  return client.readdirplus(nodeid, 0, SIZE).filter(({ name }) => !name.startsWith('.'));
}

function end(nodeid: number): void {
  let offset = 0;
  for (let last = client.readdirplus(nodeid, 0, SIZE).at(-1); last !== undefined; ) {
    offset = last.offset;
    last = client.readdirplus(nodeid, offset, SIZE).at(-1);
  }
}

const lookup = (name: string) => client.lookup(ROOT, name);

/** The node ids that the kernel was told. */
function told(): number[] {
  const bytes = readFileSync(join(directory, 'device'));
  const nodes: number[] = [];
  for (let at = 0; at < bytes.length; at += NOTIFY_INVAL_INODE_BYTES) {
    expect(bytes.readUInt32LE(at)).toBe(NOTIFY_INVAL_INODE_BYTES);
    expect(bytes.readInt32LE(at + 4)).toBe(NotifyCode.invalInode);
    expect(bytes.readBigUInt64LE(at + 8)).toBe(0n);
    expect(bytes.readBigInt64LE(at + 24)).toBe(0n);
    nodes.push(Number(bytes.readBigUInt64LE(at + 16)));
  }
  return nodes;
}

const pending = () => client.server.staleAttributes?.isPending;
const refresh = () => client.server.staleAttributes?.refresh();

describe('listings that are read again for the attributes in them', () => {
  it('of a directory read to its end after what lies in it', () => {
    serve(20);
    const top = lookup('top');
    for (const { nodeid } of begin(top)) end(nodeid);
    expect(told()).toEqual([]);
    end(top);
    expect(told()).toEqual([top]);
  });

  it('of a directory that was read first, when the walk leaves it', () => {
    serve(20);
    const top = lookup('top');
    const directories = begin(top);
    end(top);
    for (const { nodeid } of directories) end(nodeid);
    expect(told()).toEqual([]);
    const inner = client.lookup(lookup('other'), 'inner');
    end(inner);
    expect(told()).toEqual([top]);
  });

  it('of a directory that was read first, when nobody asks any more, and once', () => {
    serve(20);
    const top = lookup('top');
    const directories = begin(top);
    end(top);
    for (const { nodeid } of directories) end(nodeid);
    expect(pending()).toBe(true);
    refresh();
    expect(told()).toEqual([top]);
    expect(pending()).toBe(false);
    end(top);
    refresh();
    expect(told()).toEqual([top]);
  });

  it('not while the kernel is putting them together', () => {
    serve(20);
    const top = lookup('top');
    const [first, ...rest] = begin(top);
    for (const { nodeid } of rest) end(nodeid);
    refresh(); // the walk rests
    expect(told()).toEqual([]);
    expect(pending()).toBe(false);
    end(first?.nodeid as number);
    end(top);
    expect(told()).toEqual([top]);
  });

  it.each([
    { what: 'few directories', directories: 7, files: 0 },
    { what: 'few among many files', directories: 20, files: 200 },
  ])('not of $what', ({ directories, files }) => {
    serve(directories, files);
    const top = lookup('top');
    for (const { nodeid, name } of begin(top)) if (name.startsWith('d')) end(nodeid);
    end(top);
    refresh();
    expect(told()).toEqual([]);
  });
});

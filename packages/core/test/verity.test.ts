// Digests of data that lies below: what is recorded, what is compared, and what is refused.
import {
  type LayerNode,
  MemoryLayer,
  MemoryObject,
  metacopies,
  Overlay,
  runSync,
  syncFs,
  type SyncFs,
  verity,
  type VerityDigest,
} from '@ovl/core';
import { describe, expect, it } from 'vitest';

const DIGEST: VerityDigest = { algorithm: 1, bytes: new Uint8Array(32).fill(7) };
const mark = ({ algorithm, bytes }: VerityDigest): Uint8Array =>
  Uint8Array.of(0, 4 + bytes.length, 0, algorithm, ...bytes);
const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

/** Every file has the digest, as a file system with fs-verity would say; undefined: it has none. */
class Sealed extends MemoryLayer {
  digest: VerityDigest | undefined = DIGEST;

  verityDigest(_node: LayerNode): VerityDigest | undefined {
    return this.digest;
  }
}

/** A lower layer with a metacopy that records `recorded`, over data with `digest`. */
function world(
  recorded: VerityDigest | undefined,
  digest: VerityDigest | undefined,
): { lower: MemoryLayer[]; data: Sealed } {
  const xattrs = {
    'trusted.overlay.metacopy': recorded === undefined ? new Uint8Array(0) : mark(recorded),
    'trusted.overlay.redirect': '/data',
  };
  const lower = new MemoryLayer({ from: { f: new MemoryObject('    ', { xattrs }) } });
  const data = new Sealed({ from: { data: 'data' } });
  data.digest = digest;
  return { lower: [lower], data };
}

function open(
  lower: MemoryLayer[],
  mode: 'on' | 'require' | 'off',
  upper: MemoryLayer,
  dataOnly: MemoryLayer[] = [],
): SyncFs {
  const checks = mode === 'off' ? {} : { verity: verity(mode) };
  const metacopy = metacopies('make');
  return syncFs(runSync(Overlay.open<'sync'>({ lower, dataOnly, upper, metacopy, ...checks })));
}

const wrong: VerityDigest = { algorithm: 1, bytes: new Uint8Array(32).fill(8) };
const cases: [what: string, recorded: VerityDigest | undefined, digest: VerityDigest | undefined, reads: string][] = [
  ['the digest that is recorded', DIGEST, DIGEST, 'on require off'],
  ['another digest', DIGEST, wrong, 'off'],
  ['one of another algorithm', DIGEST, { ...DIGEST, algorithm: 2 }, 'off'],
  ['none, where one is recorded', DIGEST, undefined, 'off'],
  ['a digest that is not recorded', undefined, DIGEST, 'on off'],
];

describe('reading data that has', () => {
  it.each(cases)('%s', (_, recorded, digest, reads) => {
    for (const mode of ['on', 'require', 'off'] as const) {
      const { lower, data } = world(recorded, digest);
      const read = (): string => text(open(lower, mode, new MemoryLayer(), [data]).readFileSync('/f') as Uint8Array);
      if (reads.split(' ').includes(mode)) expect(read(), mode).toBe('data');
      else expect(read, mode).toThrow(expect.objectContaining({ code: 'EIO' }));
    }
  });

  it('the wrong digest is not copied up either', () => {
    const { lower, data } = world(DIGEST, wrong);
    const upper = new MemoryLayer();
    const fs = open(lower, 'on', upper, [data]);
    expect(() => fs.appendFileSync('/f', '!')).toThrow(expect.objectContaining({ code: 'EIO' }));
    expect(upper.lookup(upper.root, 'f')).toBeUndefined();
  });
});

describe('a metadata-only copy-up', () => {
  const copyOf = (
    mode: 'on' | 'require',
    digest: VerityDigest | undefined,
  ): { mark: Uint8Array | undefined; size: number } => {
    const lower = new Sealed({ from: { f: 'data' } });
    lower.digest = digest;
    const upper = new MemoryLayer();
    const fs = open([lower], mode, upper);
    fs.chmodSync('/f', 0o600);
    expect(text(fs.readFileSync('/f') as Uint8Array)).toBe('data');
    expect(text(open([lower], mode, upper).readFileSync('/f') as Uint8Array), 'in the next mount').toBe('data');
    const { node } = upper.lookup(upper.root, 'f') as { node: LayerNode };
    return { mark: upper.getxattr(node, 'trusted.overlay.metacopy'), size: upper.getattr(node).blocks };
  };

  it('records the digest', () => {
    for (const mode of ['on', 'require'] as const)
      expect(copyOf(mode, DIGEST)).toEqual({ mark: mark(DIGEST), size: 0 });
  });

  it('of a file without one records nothing, or copies the data where there must be one', () => {
    expect(copyOf('on', undefined)).toEqual({ mark: new Uint8Array(0), size: 0 });
    expect(copyOf('require', undefined)).toEqual({ mark: undefined, size: 1 });
  });
});

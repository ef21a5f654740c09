/** Sparse files: where their pieces are, in the four spellings of GNU tar ("Storing Sparse Files" in its manual). */
import type { Extent } from '../archive/content.js';
import type { WindowReader } from '../archive/source.js';
import { refuse } from '../archive/tree.js';
import { decodeName } from '../names.js';
import type { Operation } from '../run.js';
import { BLOCK, numberAt } from './header.js';
import { type Pax, wholeNumber } from './pax.js';

export interface SparseFile {
  /** Offsets and lengths in the file, alternating. */
  map: readonly number[];
  size: number;
  /** Bytes of the entry that the map took. */
  skip: number;
}

/** Header type 'S': the map begins in the header and goes on in blocks behind it. `skip` counts those. */
export function* oldSparse(reader: WindowReader, header: Uint8Array, position: number): Operation<SparseFile> {
  const map: number[] = [];
  collect(header, 386, 4, map);
  const size = numberAt(header, 483, 12, 'real size');
  let skip = 0;
  for (let more = header[482] !== 0; more; skip += BLOCK) {
    const block = yield* reader.read(position + BLOCK + skip, BLOCK);
    collect(block, 0, 21, map);
    more = block[504] !== 0;
  }
  return { map, size, skip };
}

function collect(block: Uint8Array, start: number, count: number, map: number[]): void {
  for (let i = 0; i < count; i++) {
    const at = start + i * 24;
    if (block[at] === 0) return;
    map.push(numberAt(block, at, 12, 'sparse map'), numberAt(block, at + 12, 12, 'sparse map'));
  }
}

/** What pax records say: versions 0.0, 0.1 and 1.0. `data` is where the entry's data begins, `length` long. */
export function* paxSparse(
  reader: WindowReader,
  pax: Pax,
  data: number,
  length: number,
): Operation<SparseFile | undefined> {
  const { values } = pax;
  if (values.get('GNU.sparse.major') === '1') {
    const size = wholeNumber(values.get('GNU.sparse.realsize') ?? '', 'GNU.sparse.realsize');
    return { ...(yield* mapInData(reader, data, length)), size };
  }
  const size = values.get('GNU.sparse.size');
  if (size === undefined) return undefined;
  const text = values.get('GNU.sparse.map');
  const map = text === undefined ? pax.sparse : text.split(',').map((number) => wholeNumber(number, 'GNU.sparse.map'));
  return { map, size: wholeNumber(size, 'GNU.sparse.size'), skip: 0 };
}

/** Decimal numbers, one a line, in whole blocks before the data: how many pairs, and the pairs. */
function* mapInData(reader: WindowReader, data: number, length: number): Operation<Omit<SparseFile, 'size'>> {
  const map: number[] = [];
  let wanted: number | undefined;
  let line = '';
  for (let skip = 0; skip + BLOCK <= length; ) {
    const block = yield* reader.read(data + skip, BLOCK);
    skip += BLOCK;
    const lines = (line + decodeName(block)).split('\n');
    line = lines.pop() as string;
    for (const text of lines) {
      if (wanted === undefined) wanted = 2 * wholeNumber(text, 'sparse map');
      else if (map.length < wanted) map.push(wholeNumber(text, 'sparse map'));
      if (map.length === wanted) return { map, skip };
    }
    if (line.length > BLOCK) break;
  }
  refuse('has a sparse map without an end');
}

/** The pieces as extents. They must be in order, within the file, and as long as the data. */
export function sparseExtents({ map, size }: SparseFile, offset: number, stored: number): Extent[] {
  if (map.length % 2 !== 0) refuse('has half a sparse map');
  const extents: Extent[] = [];
  let [end, used] = [0, 0];
  for (let i = 0; i < map.length; i += 2) {
    const [at, length] = [map[i] as number, map[i + 1] as number];
    if (at < end || length < 0 || at + length > size || used + length > stored)
      refuse('has a sparse map that does not fit');
    if (length > 0) extents.push({ at, length, offset: offset + used });
    end = at + length;
    used += length;
  }
  return extents;
}

// What makes an overlay one: each case on a fresh stack with the same lower layer. What is expected is what the kernel's overlayfs and
// POSIX say; an error counts by its code, wherever the system has it.
import { isDeepStrictEqual } from 'node:util';

const text = (/** @type {string} */ content) => new TextEncoder().encode(content);

/** Topmost and only. */
function* base() {
  for (const dir of ['/dir', '/dir/sub', '/empty', '/other']) yield [dir, 'directory'];
  yield ['/a.txt', text('below')];
  yield ['/b.txt', text('second')];
  yield ['/with space.txt', text('spaced')];
  yield ['/dir/one', text('1')];
  yield ['/dir/two', text('2')];
  yield ['/dir/sub/deep', text('3')];
  yield ['/other/file', text('4')];
}

/** What a case has in hand: the operations with text in place of bytes, and what is expected of them. */
function handsOn(face, below) {
  const read = async (path) => new TextDecoder().decode(await face.read(path));
  const same = (got, wanted, what) => {
    if (!isDeepStrictEqual(got, wanted)) throw new Error(`${what}: ${JSON.stringify(got)}`);
  };
  return {
    ...face,
    write: async (path, content) => face.write(path, text(content)),
    append: async (path, content) => face.append(path, text(content)),
    writeAt: async (path, position, content) => face.writeAt(path, position, text(content)),
    holds: async (path, content) => same(await read(path), content, path),
    lists: async (path, ...names) => same([...(await face.readdir(path))].sort(), names.sort(), path),
    mode: async (path, mode) => same((await face.stat(path)).mode & 0o777, mode, `mode of ${path}`),
    /** No layer below was written to. */
    keepsBelow: async (path, content) =>
      same(new TextDecoder().decode(await below(0, (lower) => lower.read(path))), content, `${path} below`),
    refuses: async (act, ...codes) => {
      let error;
      try {
        await act();
      } catch (caught) {
        error = caught;
      }
      if (error === undefined) throw new Error(`no ${codes[0]}`);
      if (!codes.some((code) => error.code === code || String(error.message).includes(code)))
        throw new Error(`${codes[0]} wanted: ${error.message}`);
    },
    gone: async (path) => {
      let found = true;
      try {
        await face.stat(path);
      } catch {
        found = false;
      }
      if (found) throw new Error(`${path} is there`);
    },
  };
}

/** @typedef {ReturnType<typeof handsOn>} Hands */
/** @type {[title: string, act: (fs: Hands) => Promise<void>][]} */
const list = [
  ['a lower file is read', (fs) => fs.holds('/a.txt', 'below')],
  ['a lower directory is listed', (fs) => fs.lists('/dir', 'one', 'sub', 'two')],
  [
    'a new file in a lower directory leaves that as it is',
    async (fs) => {
      await fs.write('/dir/new', 'n');
      await fs.holds('/dir/new', 'n');
      await fs.lists('/dir', 'new', 'one', 'sub', 'two');
      let written = true;
      await fs.keepsBelow('/dir/new', 'n').catch(() => (written = false));
      if (written) throw new Error('written below');
    },
  ],
  [
    'writing a lower file',
    async (fs) => {
      await fs.write('/a.txt', 'x');
      await fs.holds('/a.txt', 'x');
      await fs.keepsBelow('/a.txt', 'below');
    },
  ],
  [
    'appending keeps what is below',
    async (fs) => {
      await fs.append('/a.txt', '+');
      await fs.holds('/a.txt', 'below+');
      await fs.keepsBelow('/a.txt', 'below');
    },
  ],
  [
    'appending twice',
    async (fs) => {
      await fs.append('/a.txt', '+');
      await fs.append('/a.txt', '+');
      await fs.holds('/a.txt', 'below++');
    },
  ],
  [
    'a byte in the middle keeps the others',
    async (fs) => {
      await fs.writeAt('/a.txt', 2, 'L');
      await fs.holds('/a.txt', 'beLow');
      await fs.keepsBelow('/a.txt', 'below');
    },
  ],
  [
    'truncating',
    async (fs) => {
      await fs.truncate('/a.txt', 3);
      await fs.holds('/a.txt', 'bel');
      await fs.keepsBelow('/a.txt', 'below');
    },
  ],
  [
    'chmod keeps the content',
    async (fs) => {
      await fs.chmod('/a.txt', 0o755);
      await fs.mode('/a.txt', 0o755);
      await fs.holds('/a.txt', 'below');
    },
  ],
  [
    'appending keeps the mode',
    async (fs) => {
      await fs.chmod('/a.txt', 0o700);
      await fs.append('/a.txt', '+');
      await fs.mode('/a.txt', 0o700);
    },
  ],
  [
    'chmod of a directory keeps what is in it',
    async (fs) => {
      await fs.chmod('/dir', 0o700);
      await fs.mode('/dir', 0o700);
      await fs.lists('/dir', 'one', 'sub', 'two');
      await fs.holds('/dir/one', '1');
    },
  ],
  [
    'a removed file is gone',
    async (fs) => {
      await fs.unlink('/a.txt');
      await fs.gone('/a.txt');
      await fs.keepsBelow('/a.txt', 'below');
    },
  ],
  [
    'a removed file is not listed',
    async (fs) => {
      await fs.unlink('/dir/one');
      await fs.lists('/dir', 'sub', 'two');
    },
  ],
  [
    'a removed file cannot be read',
    async (fs) => {
      await fs.unlink('/a.txt');
      await fs.refuses(() => fs.read('/a.txt'), 'ENOENT');
    },
  ],
  [
    'a removed file cannot be removed again',
    async (fs) => {
      await fs.unlink('/a.txt');
      await fs.refuses(() => fs.unlink('/a.txt'), 'ENOENT');
    },
  ],
  [
    'a file recreated has only the new content',
    async (fs) => {
      await fs.unlink('/a.txt');
      await fs.write('/a.txt', 'new');
      await fs.holds('/a.txt', 'new');
    },
  ],
  [
    'appending after removal starts anew',
    async (fs) => {
      await fs.unlink('/a.txt');
      await fs.append('/a.txt', 'new');
      await fs.holds('/a.txt', 'new');
    },
  ],
  [
    'removed, recreated and removed again',
    async (fs) => {
      await fs.unlink('/a.txt');
      await fs.write('/a.txt', 'new');
      await fs.unlink('/a.txt');
      await fs.gone('/a.txt');
    },
  ],
  [
    'a copy that is removed does not let the lower file through',
    async (fs) => {
      await fs.append('/a.txt', '+');
      await fs.unlink('/a.txt');
      await fs.gone('/a.txt');
    },
  ],
  [
    'a file of the upper alone is removed',
    async (fs) => {
      await fs.write('/new', 'n');
      await fs.unlink('/new');
      await fs.gone('/new');
    },
  ],
  [
    'a name with a space stays removed',
    async (fs) => {
      await fs.unlink('/with space.txt');
      await fs.gone('/with space.txt');
      await fs.lists('/', 'a.txt', 'b.txt', 'dir', 'empty', 'other');
    },
  ],
  [
    'a copied-up file is listed once',
    async (fs) => {
      await fs.append('/dir/one', '+');
      await fs.lists('/dir', 'one', 'sub', 'two');
    },
  ],
  [
    'an empty lower directory is removed',
    async (fs) => {
      await fs.rmdir('/empty');
      await fs.gone('/empty');
      await fs.lists('/', 'a.txt', 'b.txt', 'dir', 'other', 'with space.txt');
    },
  ],
  [
    'a lower directory that is not empty is not removed',
    async (fs) => {
      await fs.refuses(() => fs.rmdir('/dir'), 'ENOTEMPTY', 'EEXIST');
      await fs.holds('/dir/one', '1');
    },
  ],
  [
    'a lower directory that was emptied is removed',
    async (fs) => {
      await fs.unlink('/other/file');
      await fs.rmdir('/other');
      await fs.gone('/other');
    },
  ],
  [
    'a directory recreated is empty',
    async (fs) => {
      await fs.unlink('/other/file');
      await fs.rmdir('/other');
      await fs.mkdir('/other');
      await fs.lists('/other');
      await fs.gone('/other/file');
    },
  ],
  [
    'a file where a directory was',
    async (fs) => {
      await fs.rmdir('/empty');
      await fs.write('/empty', 'file');
      await fs.holds('/empty', 'file');
    },
  ],
  [
    'a directory where a file was',
    async (fs) => {
      await fs.unlink('/a.txt');
      await fs.mkdir('/a.txt');
      await fs.lists('/a.txt');
    },
  ],
  [
    'a path below a removed directory leads nowhere',
    async (fs) => {
      await fs.unlink('/other/file');
      await fs.rmdir('/other');
      await fs.gone('/other/file');
      await fs.refuses(() => fs.write('/other/new', 'n'), 'ENOENT');
    },
  ],
  [
    'a renamed lower file',
    async (fs) => {
      await fs.rename('/a.txt', '/dir/a.txt');
      await fs.holds('/dir/a.txt', 'below');
      await fs.gone('/a.txt');
      await fs.keepsBelow('/a.txt', 'below');
    },
  ],
  [
    'a lower file renamed over another',
    async (fs) => {
      await fs.rename('/a.txt', '/b.txt');
      await fs.holds('/b.txt', 'below');
      await fs.gone('/a.txt');
    },
  ],
  [
    'a file renamed to itself',
    async (fs) => {
      await fs.rename('/a.txt', '/a.txt');
      await fs.holds('/a.txt', 'below');
    },
  ],
  [
    'a file renamed there and back',
    async (fs) => {
      await fs.rename('/a.txt', '/c.txt');
      await fs.rename('/c.txt', '/a.txt');
      await fs.holds('/a.txt', 'below');
      await fs.gone('/c.txt');
    },
  ],
  [
    'a renamed lower directory takes its files along',
    async (fs) => {
      await fs.rename('/dir', '/moved');
      await fs.holds('/moved/one', '1');
      await fs.holds('/moved/sub/deep', '3');
      await fs.lists('/moved', 'one', 'sub', 'two');
    },
  ],
  [
    'nothing is left at the old path of a directory',
    async (fs) => {
      await fs.rename('/dir', '/moved');
      await fs.gone('/dir');
      await fs.gone('/dir/one');
      await fs.gone('/dir/sub/deep');
    },
  ],
  [
    'a renamed merged directory keeps both parts',
    async (fs) => {
      await fs.write('/dir/new', 'n');
      await fs.rename('/dir', '/moved');
      await fs.lists('/moved', 'new', 'one', 'sub', 'two');
      await fs.holds('/moved/new', 'n');
    },
  ],
  [
    'a directory made at the old path is empty',
    async (fs) => {
      await fs.rename('/dir', '/moved');
      await fs.mkdir('/dir');
      await fs.lists('/dir');
    },
  ],
  [
    'a directory renamed over an empty one',
    async (fs) => {
      await fs.rename('/dir', '/empty');
      await fs.lists('/empty', 'one', 'sub', 'two');
      await fs.gone('/dir');
    },
  ],
  [
    'a directory is not renamed over a full one',
    async (fs) => {
      await fs.refuses(() => fs.rename('/dir', '/other'), 'ENOTEMPTY', 'EEXIST');
      await fs.holds('/other/file', '4');
      await fs.holds('/dir/one', '1');
    },
  ],
  [
    'appending below a renamed directory',
    async (fs) => {
      await fs.rename('/dir', '/moved');
      await fs.append('/moved/one', '+');
      await fs.holds('/moved/one', '1+');
    },
  ],
  [
    'a symbolic link to a lower file',
    async (fs) => {
      await fs.symlink('a.txt', '/link');
      await fs.holds('/link', 'below');
      if ((await fs.readlink('/link')) !== 'a.txt') throw new Error('another target');
    },
  ],
  [
    'a hard link to a lower file: one file',
    async (fs) => {
      await fs.link('/a.txt', '/link');
      await fs.append('/link', '+');
      await fs.holds('/a.txt', 'below+');
    },
  ],
  [
    'a hard link outlives the first name',
    async (fs) => {
      await fs.link('/a.txt', '/link');
      await fs.unlink('/a.txt');
      await fs.holds('/link', 'below');
      await fs.gone('/a.txt');
    },
  ],
  ['a directory is not made over a lower file', (fs) => fs.refuses(() => fs.mkdir('/a.txt'), 'EEXIST')],
  [
    '20 appends at once',
    async (fs) => {
      await Promise.all(Array.from({ length: 20 }, () => fs.append('/a.txt', '+')));
      await fs.holds('/a.txt', `below${'+'.repeat(20)}`);
    },
  ],
];

export const cases = list.map(([title, act]) => ({
  title,
  lowers: [base],
  act: (face, below) => act(handsOn(face, below)),
}));

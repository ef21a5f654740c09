// What several processes see of one file that is changed by one of them, through descriptors, maps and names that they had before:
// of lower files, small ones and those that are large enough to be copied up after the answer and read without requests.
import { compare, type Case } from './compare.js';

interface Size {
  what: string;
  bytes: number;
}

const SIZES: readonly Size[] = [
  { what: 'small', bytes: 8192 },
  { what: 'large', bytes: 2 << 20 },
];

const MAPS_STAY = 'a map of the lower file stays with it';
const READERS_STAY = 'who has a large lower file open keeps what it opened (docs/options.md)';

/** A reader of a lower file that another process changes meanwhile. */
function readerStays({ what }: Size): NonNullable<Case['differs']> {
  return what === 'large' ? { kernel: MAPS_STAY, all: READERS_STAY } : { kernel: MAPS_STAY };
}

const lower = ({ bytes }: Size): string => `open f a w,creat 0644\nblocks f 0 x ${bytes}`;

function cases(size: Size): Case[] {
  const { bytes } = size;
  const last = bytes - 4096;
  return [
    {
      what: 'written by one, seen by all, however they came to it',
      lower: lower(size),
      merged: `
        process b
        process c
        open f a r
        mmap shared f r shared ${bytes}
        mmap private f r private ${bytes}
        load shared ${last} 4 => xxxx
        load private 0 4 => xxxx
        b: open f a rw
        b: pwrite f ${last} written => 7
        pread f ${last} 8 => writtenx
        load shared ${last} 8 => writtenx
        c: open f a r
        c: mmap shared f r shared ${bytes}
        c: load shared ${last} 8 => writtenx
        b: mmap m f rw shared ${bytes}
        b: store m 10 mapped
        c: pread f 9 8 => xmappedx
        load shared 9 8 => xmappedx
        c: load shared 9 8 => xmappedx
        c: open g a w
        c: pwrite g 0 C
        b: load m 0 2 => Cx
        b: msync m ${bytes} => ok
        stat a size => ${bytes}`,
      remounted: `
        open f a r
        pread f 0 20 => Cxxxxxxxxxmappedxxxx
        pread f ${last} 8 => writtenx
        fstat f size => ${bytes}`,
      differs: readerStays(size),
    },
    {
      what: 'removed and made again under the same name: the old one stays with those who have it',
      lower: lower(size),
      merged: `
        process b
        open f a r
        mmap m f r shared ${bytes}
        load m 0 4 => xxxx
        b: unlink a => ok
        b: open g a rw,creat,excl 0600 => ok
        b: pwrite g 0 new => 3
        pread f 0 4 => xxxx
        load m ${last} 4 => xxxx
        fstat f size => ${bytes}
        stat a mode size => 100600 3
        open h a r
        pread h 0 9 => new
        b: pwrite g 3 er
        pread h 0 9 => newer
        load m 0 4 => xxxx
        close h
        close f
        load m 4096 4 => xxxx`,
      remounted: 'stat a mode size => 100600 5\nlist . => a',
    },
    {
      what: 'replaced by rename: the old one stays with those who have it',
      lower: lower(size),
      merged: `
        process b
        open f a r
        mmap m f r shared ${bytes}
        mmap p f rw private ${bytes}
        store p 0 mine
        b: open g new w,creat 0644
        b: blocks g 0 n 8192
        b: rename new a => ok
        pread f 0 4 => xxxx
        load m ${last} 4 => xxxx
        load p 0 5 => minex
        stat a size => 8192
        open h a rw
        pread h 0 4 => nnnn
        mmap n h rw shared 8192
        store n 4 open
        b: pwrite g 0 b
        load n 0 9 => bnnnopenn
        load m 0 4 => xxxx
        list . => a`,
      remounted: 'open f a r\npread f 0 9 => bnnnopenn\nlist . => a',
    },
    {
      what: 'replaced by rename after it was written: writers of the old one write the old one',
      lower: lower(size),
      merged: `
        process b
        open f a rw
        pwrite f 0 old
        mmap m f rw shared ${bytes}
        b: open g new w,creat 0644
        b: pwrite g 0 new
        b: rename new a => ok
        pwrite f ${last} late
        store m 3 er
        pread f 0 6 => olderx
        load m ${last} 5 => latex
        b: stat a size => 3
        b: open h a r
        b: pread h 0 9 => new`,
      remounted: 'open f a r\npread f 0 9 => new',
    },
    {
      what: 'several names below: written through one, read through another',
      lower: `${lower(size)}\nlink a b\nmkdir d 0755\nlink a d/c`,
      merged: `
        process b
        open f a r
        mmap m f r shared ${bytes}
        load m ${last} 4 => xxxx
        stat a ino=a
        b: open g d/c rw
        b: pwrite g ${last} through
        pread f ${last} 8 => throughx
        load m ${last} 8 => throughx
        open h b r
        pread h ${last} 8 => throughx
        stat b nlink size ino=a => nlink=3 ${bytes} same
        stat d/c ino=a => same
        b: unlink a => ok
        b: mmap n g rw shared ${bytes}
        b: store n 0 store
        load m 0 6 => storex
        pread h 0 6 => storex
        fstat f nlink => nlink=2
        b: chmod b 0600
        fstat f mode => 100600
        truncate d/c 4096
        b: fstat g size => 4096
        stat b size => 4096`,
      remounted: `
        list . => b d
        stat b nlink size mode => nlink=2 4096 100600
        open f d/c r
        pread f 0 6 => storex`,
      differs: { kernel: 'without an index the names part' },
    },
    {
      what: 'several names above: written through one, read through another',
      merged: `
        process b
        open f a rw,creat 0644
        blocks f 0 x ${bytes}
        link a b => ok
        b: open g b rw
        b: mmap m g rw shared ${bytes}
        pwrite f ${last} through
        b: load m ${last} 8 => throughx
        b: store m 0 store
        pread f 0 6 => storex
        unlink a => ok
        b: pwrite g 1 T
        pread f 0 6 => sTorex
        rename b a => ok
        open h a r
        pread h 0 6 => sTorex
        b: fstat g nlink size => nlink=1 ${bytes}`,
      remounted: `
        open f a r
        pread f 0 6 => sTorex
        pread f ${last} 8 => throughx`,
    },
    {
      what: 'given another name while it is read: one file',
      lower: lower(size),
      merged: `
        process b
        open f a r
        mmap m f r shared ${bytes}
        load m 0 1 => x
        link a b => ok
        b: open g b rw
        b: pwrite g 0 b
        pread f 0 2 => bx
        load m 0 2 => bx
        b: rename a c => ok
        b: open h c w
        b: pwrite h ${last} c
        load m ${last} 2 => cx
        stat b nlink => nlink=2`,
      remounted: `open f c r\npread f 0 2 => bx\npread f ${last} 2 => cx\nstat b nlink => nlink=2`,
      differs: readerStays(size),
    },
    {
      what: 'cut and grown while mapped: what was cut off is zeros',
      lower: lower(size),
      merged: `
        process b
        open f a rw
        mmap m f rw shared ${bytes}
        store m 0 start
        store m ${last + 200} end
        b: truncate a 4100 => ok
        fstat f size => 4100
        load m 0 6 => startx
        load m 4096 8 => xxxx\\x00\\x00\\x00\\x00
        b: truncate a ${bytes} => ok
        load m ${last + 200} 4 => \\x00\\x00\\x00\\x00
        load m 4100 4 => \\x00\\x00\\x00\\x00
        pread f 4098 4 => xx\\x00\\x00
        store m 5000 again
        b: open g a r
        b: pread g 4999 6 => \\x00again
        b: pread g ${bytes - 2} 9 => \\x00\\x00`,
      remounted: `
        stat a size => ${bytes}
        open f a r
        pread f 0 6 => startx
        pread f 4999 6 => \\x00again`,
    },
    {
      what: 'cut and grown by another while it is read below',
      lower: lower(size),
      merged: `
        process b
        open f a r
        mmap m f r shared ${bytes}
        load m ${last} 4 => xxxx
        b: truncate a 100 => ok
        fstat f size => 100
        pread f 98 9 => xx
        b: truncate a ${bytes} => ok
        load m 98 4 => xx\\x00\\x00
        load m ${last} 4 => \\x00\\x00\\x00\\x00
        pread f ${last} 4 => \\x00\\x00\\x00\\x00`,
      differs: readerStays(size),
    },
    {
      what: 'changed in every way right after the first write',
      lower: lower(size),
      merged: `
        process b
        open f a rw
        pwrite f 4096 first
        b: open g a r
        b: mmap m g r shared ${bytes}
        b: load m 4096 6 => firstx
        b: load m ${last + 100} 2 => xx
        chmod a 0640
        utimens a 1 2 3 4
        b: fstat g mode size mtime => 100640 ${bytes} 3.000000004
        pwrite f ${last + 100} second
        b: load m ${last + 100} 7 => secondx
        rename a moved
        b: open h moved w,append
        b: write h appended
        pread f ${bytes} 9 => appended
        link moved a
        b: fstat g nlink size => nlink=2 ${bytes + 8}
        unlink moved
        b: truncate a ${last + 103}
        pread f ${last + 100} 9 => sec
        fsync f => ok
        b: pread g ${last + 99} 9 => xsec`,
      remounted: `
        list . => a
        stat a size mode nlink => ${last + 103} 100640 nlink=1
        open f a r
        pread f ${last + 99} 9 => xsec
        pread f 4096 6 => firstx
        pread f 0 2 => xx`,
    },
    {
      what: 'a program that runs is not written; one that replaces it runs',
      lower: `run cp /bin/sleep program\nopen f program w,append\nblocks f ${bytes} x 4096`,
      merged: `
        ${shell(`./program 0.3 & p=$!; while [ "$(readlink /proc/$p/exe)" != "$PWD/program" ]; do :; done
          (exec 3<>program) 2>&1 | grep -o 'Text file busy'
          cp /bin/true new; chmod 755 new; mv new program; ./program && echo replaced; kill -0 $p && wait $p && echo ran`)} => Text file busy|replaced|ran|
        ${shell("exec 3<>program; ./program 2>&1 | grep -o 'Text file busy'; exec 3>&-; ./program && echo runs")} => Text file busy|runs|`,
      remounted: 'run ./program => ok',
    },
  ];
}

/** A script of a shell as one call. */
function shell(text: string): string {
  return `run sh -c ${text.replaceAll(/\s*\n\s*/g, '; ').replaceAll(' ', '\\x20')}`;
}

for (const size of SIZES) compare(`coherence of ${size.what} files`, cases(size));

compare('coherence of what is appended', [
  {
    what: 'by several at once, to a large lower file: nothing is lost or torn',
    lower: 'open f log w,creat 0644\nappends f z 70000',
    merged: `
      ${shell('for n in e f g; do ($CALLS append log $n 300) & done; wait')} => ok
      open f log r
      records f => 70900 records, 0 broken`,
    remounted: 'open f log r\nrecords f => 70900 records, 0 broken',
  },
]);

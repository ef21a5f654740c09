// Directories that are read in parts while other processes change them. The kernel reads them ahead and keeps them; each
// part that a program reads here is smaller than what the kernel asks for at once.
import { compare } from './compare.js';

const crowd = 'mkdir d 0755\ncrowd d make 900\nmkdir e 0755';

compare(
  'reading a directory',
  [
    {
      what: 'that another process fills',
      lower: crowd,
      merged: `
        process bob 0
        open a d r,directory => ok
        dents a 300 => more
        bob: crowd d make 1200 900 => 300 made
        dents a 10000 => end
        met a 900 => 810 once, 0 never, 0 twice
        rewind a => ok
        dents a 10000 => end
        met a 1200 => 1080 once, 0 never, 0 twice
        bob: open f d/file-1200 w,creat 0644 => ok
        bob: crowd d look 2000 => 1201 listed, 0 removed
        crowd d look 2000 => 1201 listed, 0 removed`,
      remounted: 'crowd d look 2000 => 1201 listed, 0 removed',
    },
    {
      what: 'that another process empties',
      lower: crowd,
      merged: `
        process bob 0
        open a d r,directory => ok
        dents a 200 => more
        bob: crowd d remove 900 => 900 listed, 90 removed
        dents a 200 => more
        bob: unlink d/file-1 => ok
        bob: open f d/file-1 w,creat 0644 => ok
        bob: unlink d/file-1 => ok
        bob: mkdir d/file-1 0755 => ok
        bob: rmdir d/file-1 => ok
        dents a 10000 => end
        rewind a => ok
        dents a 10000 => end
        met a 900 => 809 once, 1 never, 0 twice
        run sh -c rm\\x20-r\\x20d => ok
        list . => e`,
      remounted: 'list . => e',
    },
    {
      what: 'by two at different places, and again from a place',
      lower: crowd,
      merged: `
        process bob 0
        open a d r,directory => ok
        bob: open b d r,directory => ok
        dents a 150 => more
        bob: dents b 600 => more
        crowd d remove 900 => 900 listed, 90 removed
        replay a => same
        bob: replay b => same
        rewind a => ok
        dents a 500 => more
        bob: crowd d make 1000 900 => 100 made
        replay a => same
        bob: rewind b => ok
        bob: dents b 10000 => end
        bob: met b 1000 => 900 once, 0 never, 0 twice`,
    },
    {
      what: 'whose files are renamed over, exchanged and made by others',
      lower: crowd,
      merged: `
        process bob 0
        open a d r,directory => ok
        dents a 100 => more
        bob: open f e/new w,creat 0644 => ok
        bob: rename e/new d/file-7 => ok
        bob: rename d/file-10 d/file-8 => ok
        bob: rename d/file-20 d/file-21 exchange => ok
        bob: chmod d/file-9 0600 => ok
        dents a 10000 => end
        met a 900 => 810 once, 0 never, 0 twice
        inodes d => 901 entries, 0 differ, 0 twice`,
      differs: { plain: 'tmpfs leaves out a name that another file took meanwhile' },
    },
    {
      what: 'that is moved, replaced, removed meanwhile',
      lower: `${crowd}\nmkdir d/sub 0755`,
      merged: `
        process bob 0
        open a d r,directory => ok
        dents a 100 => more
        bob: rename d e/moved => ok
        bob: mkdir d 0755 => ok
        bob: open f d/file-0 w,creat 0644 => ok
        dents a 10000 => end
        met a 900 => 810 once, 0 never, 0 twice
        rewind a => ok
        dents a 10000 => end
        met a 900 => 810 once, 0 never, 0 twice
        list d => file-0
        open b e/moved/sub r,directory => ok
        bob: rmdir e/moved/sub => ok
        dents b 10 => ENOENT
        bob: run rm -r d => ok
        bob: mkdir d 0755 => ok
        list d => (empty)`,
      remounted: 'list d => (empty)\ncrowd e/moved look 2000 => 900 listed, 0 removed',
    },
    {
      what: 'fsync of one that is only open',
      lower: crowd,
      merged: `
        open a d r,directory => ok
        fsync a => ok
        open f d/new w,creat 0644 => ok
        fsync a => ok
        list e => (empty)`,
    },
    {
      what: 'that one may list, enter, or neither',
      lower: `${crowd}\nmkdir l 0744\nmkdir x 0711\nmkdir n 0700\nopen f l/f w,creat 0644\nopen f x/f w,creat 0644\nopen f n/f w,creat 0644`,
      merged: `
        process bob 1000
        list n => f
        bob: list n => EACCES
        bob: list x => EACCES
        bob: stat x/f mode => 100644
        bob: list l => f
        bob: stat l/f mode => EACCES
        chmod l 0700 => ok
        bob: list l => EACCES
        chmod n 0755 => ok
        bob: list n => f`,
    },
  ],
  { on: 'tmpfs' },
);

// What the functions of node:fs keep in memory: the directories worked in last, and no more.
import { memoryLayer, Overlay, runSync, syncFs } from '@ovl/core';
import { intercept } from '@ovl/core/testing';
import { expect, it } from 'vitest';

function counted() {
  let listings = 0;
  const upper = intercept(memoryLayer(), ({ name }, proceed) => {
    if (name === 'readdir') listings++;
    return proceed();
  });
  const overlay = runSync(Overlay.open<'sync'>({ lower: [memoryLayer({ from: { dir: { below: '' } } })], upper }));
  return { fs: syncFs(overlay), overlay, listings: () => listings };
}

it('a directory is listed once, however many files are opened and closed in it', () => {
  const { fs, listings } = counted();
  fs.writeFileSync('/dir/first', '');
  const before = listings();
  for (let i = 0; i < 50; i++) fs.writeFileSync(`/dir/f${i}`, String(i));
  for (let i = 0; i < 50; i++) expect(fs.readFileSync(`/dir/f${i}`, 'utf8')).toBe(String(i));
  expect(listings()).toBe(before);
});

it('directories that were left alone for long are forgotten, and found again', () => {
  const { fs, overlay } = counted();
  for (let i = 0; i < 3000; i++) {
    fs.mkdirSync(`/d${i}`);
    fs.writeFileSync(`/d${i}/file`, String(i));
  }
  expect(overlay.inodeCount).toBeLessThan(2 * 1024 + 3010);
  expect(fs.readFileSync('/d0/file', 'utf8')).toBe('0');
  expect(fs.readdirSync('/')).toHaveLength(3001);
});

it('a directory that was removed is let go', () => {
  const { fs, overlay } = counted();
  for (let i = 0; i < 100; i++) {
    fs.mkdirSync('/again');
    fs.writeFileSync('/again/file', '');
    fs.unlinkSync('/again/file');
    fs.rmdirSync('/again');
  }
  expect(overlay.inodeCount).toBeLessThan(10);
  expect(fs.existsSync('/again')).toBe(false);
});

import { expect } from 'vitest';
import { release } from './release.js';
import { test } from './workspace.js';

test('a release raises every version and moves the notes', ({ workspace: { fs, changes } }) => {
  expect(release(fs)).toBe('1.2.0');
  expect(JSON.parse(fs.readFileSync('/packages/cli/package.json', 'utf8'))).toEqual({ name: 'cli', version: '1.2.0' });
  expect(fs.readFileSync('/CHANGELOG.md', 'utf8')).toBe('## 1.2.0\n\n- overlays\n\n## 1.1.0\n\n- began\n');
  // Everything that it touched, and nothing that it did not.
  expect(changes()).toEqual([
    'modified /CHANGELOG.md',
    'modified /NEXT.md',
    'modified /packages/cli/package.json',
    'modified /packages/core/package.json',
  ]);
});

test('the next test begins anew', ({ workspace: { fs, changes } }) => {
  expect(changes()).toEqual([]);
  expect(fs.readFileSync('/NEXT.md', 'utf8')).toBe('- overlays\n');
});

test('without packages nothing is written', ({ workspace: { fs, changes } }) => {
  for (const name of fs.readdirSync('/packages')) fs.rmSync(`/packages/${name}`, { recursive: true });
  expect(() => release(fs)).toThrow('nothing to release');
  expect(changes()).toEqual(['deleted /packages/cli', 'deleted /packages/core']);
});

test.for([...Array(100).keys()])('a hundred tests, a hundred trees: %i', (number, { workspace: { fs, changes } }) => {
  fs.writeFileSync('/NEXT.md', String(number));
  expect(changes()).toEqual(['modified /NEXT.md']);
});

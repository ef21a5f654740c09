// What is tested here: a small release tool. It takes the `fs` that it works with, as it would take node:fs.
import type { NodeFs } from '@ovl/node';

/** Raises the version of every package below `/packages` and writes one changelog. Answers the new version. */
export function release(fs: Pick<NodeFs, 'readdirSync' | 'readFileSync' | 'writeFileSync'>): string {
  let version = '';
  for (const name of fs.readdirSync('/packages')) {
    const path = `/packages/${name}/package.json`;
    const manifest = JSON.parse(fs.readFileSync(path, 'utf8')) as { version: string };
    const [major, minor] = manifest.version.split('.').map(Number) as [number, number];
    version = `${major}.${minor + 1}.0`;
    fs.writeFileSync(path, `${JSON.stringify({ ...manifest, version })}\n`);
  }
  if (version === '') throw new Error('nothing to release: no package in /packages');
  const notes = fs.readFileSync('/NEXT.md', 'utf8');
  fs.writeFileSync('/CHANGELOG.md', `## ${version}\n\n${notes}\n${fs.readFileSync('/CHANGELOG.md', 'utf8')}`);
  fs.writeFileSync('/NEXT.md', '');
  return version;
}

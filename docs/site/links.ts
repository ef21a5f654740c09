/** Every address on every page is followed: to a page that is there, and to an anchor that it has. */
import { dirname, join } from 'node:path';
import { wordsOf } from './markdown.js';

/** One line for each address of `pages` (their HTML, by path) that leads nowhere; `others` are there besides. */
export function brokenLinks(pages: ReadonlyMap<string, string>, others: ReadonlySet<string>): string[] {
  const anchors = new Map([...pages].map(([path, html]) => [path, anchorsOf(path, html)]));
  const broken = [...anchors].flatMap(([, { twice }]) => twice);
  for (const [page, html] of pages) {
    for (const [, attribute, written] of html.matchAll(/<[a-z][^>]*? (href|src)="([^"]*)"/g)) {
      const address = wordsOf(written as string);
      if (/^(https?|mailto):/.test(address)) {
        if (attribute === 'src') broken.push(`${page}: '${address}' would be fetched from the network`);
        continue;
      }
      const [path = '', hash] = decodeURI(address).split('#');
      const target = path === '' ? page : join(dirname(page), path);
      const there = anchors.get(target);
      if (there === undefined && !others.has(target)) broken.push(`${page}: '${address}' leads to no page`);
      else if (hash !== undefined && hash !== '' && there?.ids.has(hash) !== true)
        broken.push(`${page}: '${address}': ${target} has no section '${hash}'`);
    }
  }
  return broken;
}

function anchorsOf(path: string, html: string): { ids: Set<string>; twice: string[] } {
  const ids = new Set<string>();
  const twice: string[] = [];
  for (const [, id] of html.matchAll(/<[a-z][^>]*? id="([^"]*)"/g)) {
    const anchor = wordsOf(id as string);
    if (ids.has(anchor)) twice.push(`${path}: two places have the anchor '${anchor}'`);
    ids.add(anchor);
  }
  return { ids, twice };
}

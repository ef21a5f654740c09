/** What the search looks through: a script that leaves one list, because a page on disk may load scripts and no data. */
import type { ApiEntry } from './api.js';
import type { Page } from './layout.js';
import { wordsOf } from './markdown.js';

/** Title of the page, heading, address, words. */
type Row = [page: string, heading: string, address: string, words: string];

export function searchIndex(pages: readonly Page[], api: readonly ApiEntry[]): string {
  const entries = new Set(api.map(({ page }) => page));
  const rows: Row[] = [];
  for (const { path, title, html, kind } of pages) {
    if (kind === 'code' || entries.has(path)) continue;
    for (const part of html.split(/(?=<h[1-6] id=)/)) {
      const [heading = '', id = ''] = /^<h[1-6] id="([^"]*)">.*?(?=<\/h[1-6]>)/s.exec(part) ?? [];
      if (id === '') continue;
      const name = oneLine(wordsOf(heading.replace(/<a class="anchor".*/s, '')));
      rows.push([title, name, `${path}#${id}`, oneLine(wordsOf(part.slice(heading.length)))]);
    }
  }
  for (const { name, page, symbols } of api)
    for (const { name: symbol, anchor, doc, members } of symbols) {
      rows.push([name, symbol, `${page}#${anchor}`, oneLine(doc)]);
      for (const member of members) rows.push([name, member.anchor, `${page}#${member.anchor}`, oneLine(member.doc)]);
    }
  return `window.ovlSearchIndex = ${JSON.stringify(rows)};\n`;
}

const oneLine = (text: string): string => text.replace(/\s+/g, ' ').trim();

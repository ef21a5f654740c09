/** What documents name of the repository and is no document: files of the source, and folders. */
import { escape } from './highlight.js';
import type { Page } from './layout.js';
import { pageOf } from './pages.js';

/** The page of a source file: its lines, each with an anchor of its own. */
export function sourcePage(path: string, lines: readonly string[]): Page {
  const numbered = lines.map((line, index) => `<span class="line" id="L${index + 1}">${line}</span>`);
  return {
    path: pageOf(path),
    title: path,
    html: `<h1>${escape(path)}</h1>\n<pre class="lines"><code>${numbered.join('\n')}</code></pre>`,
    headings: [],
    kind: 'code',
  };
}

/** The page of a folder: links to what is in it. */
export function folderPage(path: string, names: readonly string[], link: (name: string) => string): Page {
  const items = names.map((name) => `<li><a href="${escape(link(name))}"><code>${escape(name)}</code></a></li>`);
  return {
    path: pageOf(path),
    title: path,
    html: `<h1>${escape(path)}</h1>\n<ul class="folder">${items.join('\n')}</ul>`,
    headings: [],
    kind: 'code',
  };
}

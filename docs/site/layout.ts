/** What every page has around its content: the head, the navigation, the list of its sections. */
import type { Heading } from './markdown.js';
import { escape } from './highlight.js';
import { type Group, hrefFrom } from './pages.js';

export interface Page {
  /** Where it is, from the site's root. */
  path: string;
  title: string;
  /** The content, as HTML. */
  html: string;
  /** What the list beside the content leads to. */
  headings: Heading[];
  /** A page of code uses the whole width. */
  kind: 'document' | 'code';
}

/** A whole page. Works without scripts; the one that there is adds the search. */
export function layOut(page: Page, groups: readonly Group[]): string {
  const at = (target: string): string => escape(hrefFrom(page.path, target));
  const name = page.path === 'index.html' ? 'ovl: an overlay filesystem in TypeScript' : `${page.title} · ovl`;
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${escape(name)}</title>
<link rel="icon" href="${at('icon.svg')}">
<link rel="stylesheet" href="${at('style.css')}">
<script src="${at('search.js')}" data-root="${at('index.html').slice(0, -'index.html'.length)}" defer></script>
</head>
<body class="${page.kind}">
<a class="skip" href="#content">Skip to the content</a>
<input type="checkbox" id="menu" aria-label="Show the navigation">
<header>
<label for="menu" aria-hidden="true"><span></span></label>
<a class="brand" href="${at('index.html')}"><img src="${at('icon.svg')}" alt="" width="22" height="22">ovl</a>
<div id="search" role="search"></div>
</header>
<nav class="site" aria-label="All pages">
${groups.map((group) => navigationGroup(group, page.path)).join('\n')}
</nav>
<main id="content">
${page.html}
</main>
${sections(page.headings)}
</body>
</html>
`;
}

function navigationGroup({ title, pages }: Group, current: string): string {
  const items = pages.map((target) => {
    const here = target.page === current ? ' aria-current="page"' : '';
    return `<li><a href="${escape(hrefFrom(current, target.page))}"${here}>${escape(target.title)}</a></li>`;
  });
  return `<h2>${escape(title)}</h2>\n<ul>\n${items.join('\n')}\n</ul>`;
}

function sections(headings: readonly Heading[]): string {
  const shown = headings.filter(({ depth }) => depth === 2 || depth === 3);
  if (shown.length < 2) return '';
  const items = shown.map(
    ({ depth, text, anchor }) => `<li class="d${depth}"><a href="#${anchor}">${escape(text)}</a></li>`,
  );
  return `<aside aria-label="On this page"><h2>On this page</h2>\n<ul>\n${items.join('\n')}\n</ul></aside>`;
}

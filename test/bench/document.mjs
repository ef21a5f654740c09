// The table's place in a document: between two marks that name who measured, so that root's and a user's stand side by side.
import { readFileSync, writeFileSync } from 'node:fs';

/** Throws where the marks are missing: better before the measuring than after. */
export function openDocument(/** @type {string} */ path, /** @type {string} */ who) {
  const [begin, end] = [`<!-- bench ${who} -->`, `<!-- /bench ${who} -->`];
  const parts = () => {
    const text = readFileSync(path, 'utf8');
    const [from, to] = [text.indexOf(begin), text.indexOf(end)];
    if (from < 0 || to < from) throw new Error(`${path} has no ${begin} … ${end}`);
    return [text.slice(0, from + begin.length), text.slice(to)];
  };
  parts();
  return {
    write(/** @type {string} */ block) {
      writeFileSync(path, parts().join(`\n\n${block}\n\n`));
    },
  };
}

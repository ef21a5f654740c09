// The demo without a mount: the same overlay as a library, over layers in memory.
import { memoryLayer, overlay, runSync, syncFs } from '@ovl/core';
import { diff } from '@ovl/core/changes';
import { project } from './project.mjs';
import { heading, say, shown } from './say.mjs';

const letters = { added: 'A', modified: 'C', metadata: 'C', replaced: 'C', renamed: 'R', deleted: 'D' };

export async function inProcess() {
  const lower = memoryLayer({ from: tree(project) });
  const upper = memoryLayer();
  const merged = overlay({ lower: [lower], upper });
  const fs = syncFs(merged);
  heading('Work in it');
  step("fs.appendFileSync('/README.md', …)", () => fs.appendFileSync('/README.md', 'Now with an overlay below it.\n'));
  step("fs.mkdirSync('/dist'); fs.writeFileSync('/dist/greet.txt', …)", () => {
    fs.mkdirSync('/dist');
    fs.writeFileSync('/dist/greet.txt', 'HELLO FROM THE LOWER LAYER\n');
  });
  step("fs.unlinkSync('/debug.log')", () => fs.unlinkSync('/debug.log'));
  step("fs.renameSync('/LICENSE.txt', '/COPYING')", () => fs.renameSync('/LICENSE.txt', '/COPYING'));
  say(fs.readdirSync('/').join('  '));
  heading('What was changed, and where the bytes went: all of them to the upper layer');
  for (const { kind, path, size, previousSize } of runSync(diff(merged)))
    shown(`${letters[kind]} ${path}`, kind === 'deleted' ? `${previousSize} bytes are hidden` : `${size} bytes`);
}

function step(code, act) {
  say(`> ${code}`, 'command');
  act();
}

/** Paths to content, as directories within directories. */
function tree(files) {
  const root = {};
  for (const [path, content] of Object.entries(files)) {
    const names = path.split('/');
    const last = names.pop();
    let directory = root;
    for (const name of names) directory = directory[name] ??= {};
    directory[last] = content;
  }
  return root;
}

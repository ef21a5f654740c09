// Documents that can be followed: their blocks in order, and running them as a reader would, top to bottom, in one
// directory and one shell. CONTRIBUTING.md ("Documents") says how a page is written for it.
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { transform } from 'esbuild';
import { expect } from 'vitest';
import { detach, execute } from '../support/mounts.mjs';

export const root: string = fileURLToPath(new URL('../..', import.meta.url));
const ovl = join(root, 'packages/cli/bin/ovl.js');
const minutes = 3 * 60_000;

interface Block {
  /** What stands behind the opening fence. */
  language: string;
  code: string;
  /** The nearest heading above it, without its `#`s. */
  heading: string;
  /** Of its first line in the page, counted from 1. */
  line: number;
  /** Nothing but an empty line stands between it and the block before. */
  follows: boolean;
}

/** The fenced blocks of a page of the repository, in order. */
export function blocksOf(page: string): Block[] {
  const blocks: Block[] = [];
  let heading = '';
  let open: Block | undefined;
  let follows = false;
  for (const [index, line] of readFileSync(resolve(root, page), 'utf8').split('\n').entries()) {
    if (open) {
      if (line === '```') {
        blocks.push(open);
        open = undefined;
        follows = true;
      } else open.code += `${line}\n`;
    } else if (line.startsWith('```')) {
      open = { language: line.slice(3), code: '', heading, line: index + 2, follows };
    } else {
      if (line.startsWith('#')) heading = line.replace(/^#+ /, '');
      if (line !== '') follows = false;
    }
  }
  if (open) throw new Error(`${page}:${open.line}: the block is never closed`);
  return blocks;
}

/** One thing that a reader does, and what he then sees; undefined: whatever it is. */
interface Step {
  line: number;
  shell: string;
  expected: string | undefined;
}

const isCode = ({ language }: Block): boolean => ['ts', 'js', 'html', 'toml'].includes(language);
const nameIn = /^(?:\/\/|#|<!--) ([\w./-]+\.\w+)(?: -->)?\n/;

/** Whether following the page does anything. */
export function canBeFollowed(page: string): boolean {
  return blocksOf(page).some((block) => block.language === 'console' || (isCode(block) && block.language !== 'toml'));
}

/** All commands of a page's sessions. */
export function commandsOf(page: string): string {
  const sessions = blocksOf(page).filter(({ language }) => language === 'console');
  return sessions.flatMap(({ code }) => code.split('\n').filter((line) => /^[$>] /.test(line))).join('\n');
}

export interface Following {
  /** Shell commands that make what the page takes for granted. */
  given?: string;
  /** Where to do it, instead of in an empty directory that is removed afterwards. */
  directory?: string;
  /** What a shell script is run by: the words before its path. */
  by?: (home: string) => string[];
}

/** Does what a page says, and expects what it shows. */
export async function follow(
  page: string,
  { given = '', directory, by = () => ['bash'] }: Following = {},
): Promise<void> {
  const home = mkdtempSync(join(tmpdir(), 'ovl-page-'));
  try {
    chmodSync(home, 0o755);
    symlinkSync(join(root, 'node_modules'), join(home, 'node_modules'));
    for (const name of ['bin', 'page', 'blocks']) mkdirSync(join(home, name));
    const wrapper = `#!/bin/sh\nexec ${process.execPath} ${ovl} "$@"\n`;
    writeFileSync(join(home, 'bin/ovl'), wrapper, { mode: 0o755 });

    const steps = await stepsOf(page, join(home, 'blocks'));
    const script = [
      `PATH=${home}/bin:${root}/node_modules/.bin:$PATH`,
      'unset FORCE_COLOR; export NO_COLOR=1',
      `cd '${directory ?? `${home}/page`}'`,
      shellFunctions,
      'exec 2>&1 </dev/null',
      `{ ${given || ':'}\n} || exit`,
      ...steps.map(({ shell }) => `printf '\\036'\n${shell}\nprintf '\\037%d' $?`),
    ].join('\n');
    writeFileSync(join(home, 'follow.sh'), `${script}\n`);
    const { stdout, timedOut } = await execute([...by(home), join(home, 'follow.sh')], {
      timeout: minutes,
      onTimeout: () => mountsBelow(home).forEach((path) => void detach(path)),
    });
    expect(timedOut, `${page} took longer than ${minutes / 60_000} minutes:\n${stdout}`).toBe(false);
    const [before, ...done] = stdout.split('\u001e');
    expect(before, `${page}: what is taken for granted could not be made`).toBe('');
    for (const [index, { line, shell, expected }] of steps.entries()) {
      const [output = '', code] = (done[index] ?? '').split('\u001f');
      expect(code, `${page}:${line}: ${shell}\n${output}`).toBe('0');
      if (expected !== undefined && !pattern(expected).test(output))
        expect(output, `${page}:${line}: ${shell}`).toBe(expected);
    }
  } finally {
    for (const path of mountsBelow(home)) await detach(path);
    rmSync(home, { recursive: true, force: true });
  }
}

/** What a reader has installed or has from npm is in this repository: packages are looked for, and not downloaded. */
const shellFunctions = `
npm() {
  [ "$1" = install ] || { echo "npm $1 is not known here"; return 2; }
  shift
  for name; do
    case $name in
      -*) ;;
      @ovl/*) [ -d "${root}/packages/\${name#@ovl/}" ] || { echo "no package $name"; return 1; } ;;
      *) [ -d "${root}/node_modules/$name" ] || { echo "no package $name"; return 1; } ;;
    esac
  done
}
npx() { "$@"; }
pnpm() { PATH=$PWD/node_modules/.bin:$PATH sh -c "$(node -p 'require("./package.json").scripts[process.argv[1]]' "$1")"; }
`;

async function stepsOf(page: string, folder: string): Promise<Step[]> {
  const blocks = blocksOf(page);
  const steps: Step[] = [];
  for (const [index, block] of blocks.entries()) {
    const { code, language, line } = block;
    if (language === 'console') steps.push(...commands(code, line));
    if (!isCode(block)) continue;
    const [, name] = nameIn.exec(code) ?? [];
    const path = join(folder, name === undefined ? `${index}.mjs` : `${index}`);
    if (name !== undefined) {
      writeFileSync(path, code);
      steps.push({ line, shell: `mkdir -p "$(dirname ${name})" && cp ${path} ${name}`, expected: '' });
    } else if (language === 'ts' || language === 'js') {
      writeFileSync(path, (await transform(code, { loader: language, format: 'esm' })).code);
      const next = blocks[index + 1];
      steps.push({
        line,
        shell: `node ${path}`,
        expected: next?.follows && next.language === '' ? next.code : undefined,
      });
    }
  }
  return steps;
}

/** A session: after "$ " a command, after "> " more of it, and then what it prints. */
function commands(code: string, first: number): Step[] {
  const steps: (Step & { expected: string })[] = [];
  for (const [index, text] of code.split('\n').slice(0, -1).entries()) {
    const last = steps.at(-1);
    if (text.startsWith('$ ')) steps.push({ line: first + index, shell: text.slice(2), expected: '' });
    else if (text.startsWith('> ') && last?.expected === '') last.shell += `\n${text.slice(2)}`;
    else if (last) last.expected += `${text}\n`;
    else throw new Error(`line ${first + index}: a session begins with "$ "`);
  }
  return steps;
}

/** "…" is whatever stands there, and a line of its own any number of lines. */
function pattern(expected: string): RegExp {
  const escaped = expected.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
  return new RegExp(`^${escaped.replace(/^…\n/gm, '(?:.*\\n)*?').replaceAll('…', '.*')}$`);
}

function mountsBelow(path: string): string[] {
  const points = readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .map((line) => line.split(' ')[4] ?? '');
  return points.filter((point) => point.startsWith(`${path}/`)).toReversed();
}

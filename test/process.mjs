// Starts the tools that the test run is made of, in the project's root.
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));

/** Runs a command with the terminal as its own; answers its exit code (1 for one that never started or was stopped). */
export function run(command, args, options = {}) {
  return new Promise((resolve) => {
    const child = spawn(command, args, { cwd: root, stdio: 'inherit', ...options });
    child.on('error', (error) => {
      console.error(`${command}: ${error.message}`);
      resolve(1);
    });
    child.on('close', (code) => resolve(code ?? 1));
  });
}

/** Runs a command quietly; answers its exit code and all it printed. */
export function capture(command, args, options = {}) {
  return new Promise((resolve) => {
    let output = '';
    const child = spawn(command, args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'], ...options });
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text) => {
        output += text;
      });
    }
    child.on('error', (error) => resolve({ code: 1, output: error.message }));
    child.on('close', (code) => resolve({ code: code ?? 1, output }));
  });
}

/** A development dependency's command, by path: a fresh clone has no node_modules/.bin on its PATH. */
export function bin(name) {
  return `${root}node_modules/.bin/${name}`;
}

/** Runs the pnpm that runs us, or the pinned one where nobody does. */
export function pnpm(...args) {
  const path = process.env.npm_execpath ?? '';
  if (/pnpm[^/\\]*$/.test(path)) {
    return /\.[cm]?js$/.test(path) ? run(process.execPath, [path, ...args]) : run(path, args);
  }
  const { packageManager } = JSON.parse(readFileSync(`${root}package.json`, 'utf8'));
  return run('npx', ['--yes', packageManager, ...args]);
}

// How each runtime is given one script without imports and asked for its outcome.
import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { build } from 'esbuild';
import { newQuickJSWASMModuleFromVariant, type QuickJSSyncVariant } from 'quickjs-emscripten-core';
import type { Outcome, Selection } from './suites.js';

// Its types promise a module of another kind than it is.
const { default: variant } = await import('@jitl/quickjs-wasmfile-release-sync');

const MARK = 'outcome: ';
const execute = promisify(execFile);

/** The suites in one module of plain JavaScript, as built; `tail` uses its `runSuites`. Fails if anything is left to import. */
async function bundle(tail: string, format: 'esm' | 'iife'): Promise<string> {
  const { outputFiles, metafile } = await build({
    stdin: {
      contents: `import { runSuites } from './suites.ts';\n${tail}`,
      resolveDir: fileURLToPath(new URL('.', import.meta.url)),
    },
    bundle: true,
    format,
    platform: 'neutral',
    target: 'es2023',
    metafile: true,
    logLevel: 'error',
    write: false,
  });
  const left = Object.values(metafile.outputs).flatMap(({ imports }) => imports);
  if (left.length > 0) throw new Error(`still imported: ${left.map(({ path }) => path).join(', ')}`);
  return (outputFiles[0] as { text: string }).text;
}

const binary = (path: string): string => fileURLToPath(new URL(`node_modules/${path}`, import.meta.url));

/** A program that runs a file of JavaScript and shows what it prints. */
export interface Program {
  path: string;
  args: (script: string) => string[];
}

export const programs: Record<string, Program> = {
  'Node 20 or what runs this': { path: process.execPath, args: (script) => [script] },
  'Node 22': { path: binary('node22/bin/node'), args: (script) => [script] },
  'Node 24': { path: binary('node24/bin/node'), args: (script) => [script] },
  'Node 26': { path: binary('node26/bin/node'), args: (script) => [script] },
  Deno: { path: binary('@deno/linux-x64-glibc/deno'), args: (script) => ['run', '--no-config', '--no-remote', script] },
  Bun: { path: binary('@oven/bun-linux-x64/bin/bun'), args: (script) => ['run', script] },
};

export function isThere({ path }: Program): boolean {
  return existsSync(path);
}

export async function inProgram(program: Program): Promise<Outcome> {
  const print = `console.log(${JSON.stringify(MARK)} + JSON.stringify(await runSuites('all')));`;
  return inDirectory(async (directory) => {
    const script = join(directory, 'suites.mjs');
    writeFileSync(script, await bundle(print, 'esm'));
    return outcomeOf(await execute(program.path, program.args(script), { cwd: directory }));
  });
}

export const workerd: string = binary('@cloudflare/workerd-linux-64/bin/workerd');

/** As a test of its own kind, which listens nowhere. */
export async function inWorkerd(): Promise<Outcome> {
  const test = `export default { async test() { console.log(${JSON.stringify(MARK)} + JSON.stringify(await runSuites('all'))); } };`;
  return inDirectory(async (directory) => {
    writeFileSync(join(directory, 'suites.mjs'), await bundle(test, 'esm'));
    const config = `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [(name = "main", worker = (
    modules = [(name = "suites.mjs", esModule = embed "suites.mjs")],
    compatibilityDate = "2025-01-01",
  ))],
);
`;
    writeFileSync(join(directory, 'config.capnp'), config);
    return outcomeOf(await execute(workerd, ['test', 'config.capnp'], { cwd: directory }));
  });
}

/** QuickJS compiled to WebAssembly, with no function of ours in it: not even a console. */
export async function inQuickJs(): Promise<Outcome> {
  const quickJs = await newQuickJSWASMModuleFromVariant(variant as unknown as QuickJSSyncVariant);
  const context = quickJs.newContext(); // goes with the module, which nobody else has
  const selection: Selection = 'at-once';
  const tail = `globalThis.outcome = ''; runSuites('${selection}').then((seen) => { outcome = JSON.stringify(seen); }, (error) => { outcome = 'threw ' + error; });`;
  context.unwrapResult(context.evalCode(await bundle(tail, 'iife'), 'suites.js')).dispose();
  const { error } = context.runtime.executePendingJobs();
  if (error !== undefined) throw new Error(JSON.stringify(context.dump(error)));
  const outcome = context.getString(context.getProp(context.global, 'outcome'));
  if (!outcome.startsWith('{')) throw new Error(`no outcome: ${outcome}`);
  return JSON.parse(outcome) as Outcome;
}

/** In a page of Chromium, and in a worker: the module's address is where it is served. */
export const browserScript = (): Promise<string> => bundle('export { runSuites };', 'esm');

function outcomeOf({ stdout, stderr }: { stdout: string; stderr: string }): Outcome {
  const line = `${stdout}\n${stderr}`.split('\n').find((each) => each.includes(MARK));
  if (line === undefined) throw new Error(`no outcome:\n${stdout}\n${stderr}`);
  return JSON.parse(line.slice(line.indexOf(MARK) + MARK.length)) as Outcome;
}

async function inDirectory<T>(work: (directory: string) => Promise<T>): Promise<T> {
  const directory = mkdtempSync(join(tmpdir(), 'ovl-runtimes-'));
  try {
    return await work(directory);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

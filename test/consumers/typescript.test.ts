// TypeScript compiles layers: a System over the synchronous face gives it sources, its own library, module resolution and a
// watch without polling. TypeScript 5.9: what takes the place of these interfaces in 7 is not stable yet.
import { createRequire } from 'node:module';
import { dirname } from 'node:path';
import { type Layer, memoryLayer, type Overlay, overlay } from '@ovl/core';
import { createFs as createCoreFs } from '@ovl/core/fs';
import { createFs, hostLayer } from '@ovl/node';
import ts from 'typescript5';
import { expect, onTestFinished, test } from 'vitest';
import { type Files, write } from './layers.js';

const project: Files = {
  '/project/tsconfig.json': JSON.stringify({
    compilerOptions: {
      target: 'es2022',
      module: 'nodenext',
      strict: true,
      lib: ['es5'],
      skipLibCheck: true,
      outDir: 'dist',
      types: [],
    },
    include: ['src/**/*.ts'],
  }),
  '/project/package.json': JSON.stringify({ type: 'module' }),
  '/project/src/main.ts':
    "import { port } from './config.js';\nimport { twice } from 'dep';\nexport const next = twice(port);\n",
  '/project/src/config.ts': 'export const port: number = 80;\n',
  '/project/node_modules/dep': { link: '../../store/dep' },
  '/store/dep/package.json': JSON.stringify({ name: 'dep', type: 'module', main: 'index.js', types: 'index.d.ts' }),
  '/store/dep/index.d.ts': 'export declare function twice(value: number): number;\n',
};

test('a type error of the upper is one of the overlay, and of none below', () => {
  const layers = projectLayers();
  expect(compile(over(layers))).toEqual([]);

  const above = over(layers);
  const fs = createFs(above, { cwd: '/' });
  fs.writeFileSync('/project/src/config.ts', "export const port: number = '80';\n");
  expect(compile(above)).toEqual(["/project/src/config.ts: Type 'string' is not assignable to type 'number'."]);
  expect(compile(over(layers))).toEqual([]);
});

test('a source that a whiteout hides is missing, with the declarations of a package', () => {
  const above = over(projectLayers());
  const fs = createFs(above, { cwd: '/' });
  fs.unlinkSync('/project/src/config.ts');
  fs.unlinkSync('/store/dep/index.d.ts');
  expect(compile(above)).toEqual([
    "/project/src/main.ts: Cannot find module './config.js' or its corresponding type declarations.",
    "/project/src/main.ts: Cannot find module 'dep' or its corresponding type declarations.",
  ]);
});

test('output goes into the upper, one file for each source', () => {
  const layers = projectLayers();
  const above = over(layers);
  expect(compile(above)).toEqual([]);
  const fs = createFs(above, { cwd: '/' });
  expect(fs.readdirSync('/project/dist').toSorted()).toEqual(['config.js', 'main.js']);
  expect(fs.readFileSync('/project/dist/config.js', 'utf8')).toBe('export const port = 80;\n');
  expect(createFs(over(layers)).existsSync('/project/dist')).toBe(false);
});

test('a watch compiles again what changed, came or went', async () => {
  const above = over(projectLayers());
  const fs = createFs(above, { cwd: '/' });
  const compiled = watch(above);
  expect(await compiled()).toEqual([]);
  fs.writeFileSync('/project/src/config.ts', "export const port = '80';\n");
  expect(await compiled()).toEqual([
    "/project/src/main.ts: Argument of type 'string' is not assignable to parameter of type 'number'.",
  ]);
  fs.writeFileSync('/project/src/config.ts', 'export const port = 8080;\n');
  expect(await compiled()).toEqual([]);
  fs.writeFileSync('/project/src/new.ts', 'export const wrong: number = true;\n');
  expect(await compiled()).toEqual(["/project/src/new.ts: Type 'boolean' is not assignable to type 'number'."]);
  fs.unlinkSync('/project/src/new.ts');
  expect(await compiled()).toEqual([]);
});

/** The project in memory, over the directory of the host that has the compiler's declarations. */
function projectLayers(): Layer<'sync'>[] {
  const library = hostLayer(dirname(createRequire(import.meta.url).resolve('typescript5')));
  onTestFinished(() => library.close?.());
  const sources = memoryLayer();
  write(createFs(overlay({ lower: [], upper: sources }), { cwd: '/' }), project);
  return [sources, library];
}

function over(lower: Layer<'sync'>[]): Overlay<'sync'> {
  return overlay({ lower, upper: memoryLayer() });
}

/** What is wrong with the project; its output is written. */
function compile(layers: Overlay<'sync'>): string[] {
  const system = systemOver(layers);
  const onUnRecoverableConfigFileDiagnostic = (diagnostic: ts.Diagnostic): never => {
    throw new Error(textOf(diagnostic));
  };
  const host = { ...system, onUnRecoverableConfigFileDiagnostic };
  const config = ts.getParsedCommandLineOfConfigFile('/project/tsconfig.json', {}, host) as ts.ParsedCommandLine;
  const compilerHost = ts.createIncrementalCompilerHost(config.options, system);
  const program = ts.createProgram(config.fileNames, config.options, compilerHost);
  return [...config.errors, ...ts.getPreEmitDiagnostics(program), ...program.emit().diagnostics].map(textOf);
}

/** Compiles now and after every change; answers what was wrong the next time it did. */
function watch(layers: Overlay<'sync'>): () => Promise<string[]> {
  const results: string[][] = [];
  let wake: (() => void) | undefined;
  const create = ts.createSemanticDiagnosticsBuilderProgram;
  const ignore = (): void => undefined;
  const host = ts.createWatchCompilerHost('/project/tsconfig.json', {}, systemOver(layers), create, ignore, ignore);
  host.afterProgramCreate = (program) => {
    results.push(ts.getPreEmitDiagnostics(program.getProgram()).map(textOf));
    wake?.();
  };
  const running = ts.createWatchProgram(host);
  onTestFinished(() => running.close());
  return async () => {
    if (results.length === 0) await new Promise<void>((resolve) => (wake = resolve));
    return results.shift() as string[];
  };
}

function textOf(diagnostic: ts.Diagnostic): string {
  return `${diagnostic.file?.fileName}: ${ts.flattenDiagnosticMessageText(diagnostic.messageText, '\n')}`;
}

/** What TypeScript asks of a machine, answered by an overlay. */
function systemOver(layers: Overlay<'sync'>): ts.System {
  const fs = createFs(layers, { cwd: '/' });
  const { globSync } = createCoreFs(layers);
  const kindOf = (path: string) => fs.statSync(path, { throwIfNoEntry: false });
  const refuse = (what: string) => (): never => {
    throw new Error(what);
  };
  return {
    args: [],
    newLine: '\n',
    useCaseSensitiveFileNames: true,
    write: refuse('nothing is printed here'),
    exit: refuse('nothing ends here'),
    readFile: (path, encoding) =>
      fs.existsSync(path) ? fs.readFileSync(path, (encoding ?? 'utf8') as 'utf8') : undefined,
    writeFile: (path, data) => fs.writeFileSync(path, data),
    createDirectory: (path) => fs.mkdirSync(path),
    deleteFile: (path) => fs.unlinkSync(path),
    resolvePath: (path) => (path.startsWith('/') ? path : `/${path}`),
    fileExists: (path) => kindOf(path)?.isFile() ?? false,
    directoryExists: (path) => kindOf(path)?.isDirectory() ?? false,
    getExecutingFilePath: () => '/typescript.js',
    getCurrentDirectory: () => '/',
    getDirectories: (path) =>
      fs.readdirSync(path, { withFileTypes: true }).flatMap((entry) => (entry.isDirectory() ? [entry.name] : [])),
    readDirectory: (path, _extensions, exclude = [], include = []) =>
      (globSync(include, { cwd: path, exclude }) as string[]).map((found) => `${path}/${found}`),
    getModifiedTime: (path) => kindOf(path)?.mtime,
    realpath: (path) => (fs.existsSync(path) ? fs.realpathSync(path) : path),
    watchFile: (path, callback) => {
      const listener: Parameters<typeof fs.watchFile>[1] = (now, before) => {
        const kinds = ts.FileWatcherEventKind;
        callback(path, now.nlink === 0 ? kinds.Deleted : before.nlink === 0 ? kinds.Created : kinds.Changed);
      };
      fs.watchFile(path, listener);
      return { close: () => fs.unwatchFile(path, listener) };
    },
    watchDirectory: (path, callback, recursive = false) => {
      const watcher = fs.watch(path, { recursive }, (_type, name) => callback(`${path}/${name}`));
      return { close: () => watcher.close() };
    },
    setTimeout,
    clearTimeout,
  };
}

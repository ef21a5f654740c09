// isomorphic-git clones, changes, commits and pushes in layers; what it wrote is judged by git itself, in a copy on the host.
import { execFile, spawn } from 'node:child_process';
import * as hostFs from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { overlay } from '@ovl/core';
import { createFs, type NodeFs } from '@ovl/node';
import git from 'isomorphic-git';
import http from 'isomorphic-git/http/node';
import { describe, expect, onTestFinished, test, type TestContext } from 'vitest';
import { requireOrSkip } from '../support/require.js';
import { BASES, type Files, stacked, temporaryDirectory } from './layers.js';

const run = promisify(execFile);
const author = { name: 'A', email: 'a@example.org' };
const asAuthor = ['-c', `user.name=${author.name}`, '-c', `user.email=${author.email}`];

/** Text that git prints. */
async function say(cwd: string, ...args: string[]): Promise<string> {
  const env = { ...process.env, GIT_CONFIG_GLOBAL: '/dev/null', GIT_CONFIG_SYSTEM: '/dev/null' };
  return (await run('git', [...asAuthor, ...args], { cwd, env })).stdout.trimEnd();
}

/** A bare repository with two branches on the loopback interface. */
async function origin(ctx: TestContext): Promise<{ url: string; bare: string }> {
  const backend = join(await say('/', '--exec-path').catch(() => '/'), 'git-http-backend');
  requireOrSkip(ctx, hostFs.existsSync(backend), 'git with its http-backend');
  const at = temporaryDirectory();
  const [work, bare] = [join(at, 'work'), join(at, 'origin.git')];
  hostFs.mkdirSync(join(work, 'src'), { recursive: true });
  hostFs.writeFileSync(join(work, 'README'), 'readme\n');
  hostFs.writeFileSync(join(work, 'src/main.js'), 'main\n');
  hostFs.writeFileSync(join(work, 'src/tool'), '#!/bin/sh\n', { mode: 0o755 });
  hostFs.symlinkSync('src/main.js', join(work, 'entry'));
  await say(work, 'init', '-q', '-b', 'main');
  await say(work, 'add', '.');
  await say(work, 'commit', '-qm', 'first');
  await say(work, 'checkout', '-qb', 'topic');
  hostFs.rmSync(join(work, 'src/tool'));
  hostFs.writeFileSync(join(work, 'src/topic.js'), 'topic\n');
  await say(work, 'add', '-A');
  await say(work, 'commit', '-qm', 'on a topic');
  await say(work, 'checkout', '-q', 'main');
  await say(at, 'clone', '-q', '--bare', work, bare);
  await say(bare, 'config', 'http.receivepack', 'true');
  return { url: await serve(backend, at), bare };
}

/** Answers git's smart protocol by its own CGI program. */
async function serve(backend: string, root: string): Promise<string> {
  const server = createServer((request, response) => {
    const { pathname, search } = new URL(request.url as string, 'http://localhost');
    const env = {
      PATH: process.env.PATH,
      GIT_PROJECT_ROOT: root,
      GIT_HTTP_EXPORT_ALL: '1',
      GIT_CONFIG_COUNT: '1',
      GIT_CONFIG_KEY_0: 'safe.directory',
      GIT_CONFIG_VALUE_0: '*',
      PATH_INFO: pathname,
      QUERY_STRING: search.slice(1),
      REQUEST_METHOD: request.method,
      CONTENT_TYPE: request.headers['content-type'] ?? '',
    };
    const child = spawn(backend, [], { env, stdio: ['pipe', 'pipe', 'inherit'] });
    request.pipe(child.stdin);
    const chunks: Buffer[] = [];
    child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
    child.on('close', () => {
      const answer = Buffer.concat(chunks);
      const end = answer.indexOf('\r\n\r\n');
      for (const line of answer.subarray(0, end).toString().split('\r\n')) {
        const [name = '', value = ''] = line.split(': ');
        if (name === 'Status') response.statusCode = Number.parseInt(value, 10);
        else response.setHeader(name, value);
      }
      response.end(answer.subarray(end + 4));
    });
  });
  server.listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/origin.git`;
}

/** A copy of a directory of the overlay on the host. */
function copyOut(fs: NodeFs, from: string, to: string): void {
  hostFs.mkdirSync(to, { recursive: true });
  for (const entry of fs.readdirSync(from, { withFileTypes: true })) {
    const [source, target] = [join(from, entry.name), join(to, entry.name)];
    if (entry.isDirectory()) copyOut(fs, source, target);
    else if (entry.isSymbolicLink()) hostFs.symlinkSync(fs.readlinkSync(source), target);
    else hostFs.writeFileSync(target, fs.readFileSync(source), { mode: fs.statSync(source).mode });
  }
}

/** What git says of a copy of the repository. */
async function judge(fs: NodeFs, dir: string): Promise<{ log: string[]; status: string }> {
  const copy = join(temporaryDirectory(), 'copy');
  copyOut(fs, dir, copy);
  await say(copy, 'fsck', '--strict', '--full');
  return { log: (await say(copy, 'log', '--format=%s')).split('\n'), status: await say(copy, 'status', '--porcelain') };
}

/** Paths whose state is not that of the last commit. */
async function changed(fs: NodeFs, dir: string): Promise<unknown[]> {
  const all = await git.statusMatrix({ fs, dir });
  return all.filter(([, ...states]) => states.join() !== '1,1,1');
}

const part: Files = { '/repo/README': 'readme\n', '/repo/src/main.js': 'main\n' };

describe.each(BASES)('isomorphic-git over layers on %s', (base) => {
  test('clones over a part of the worktree, which stays in the lower', async (ctx) => {
    const { url } = await origin(ctx);
    const { fs, upper } = stacked(base, part);
    await git.clone({ fs, http, dir: '/repo', url });
    expect(await changed(fs, '/repo')).toEqual([]);
    expect(fs.readdirSync('/repo').toSorted()).toEqual(['.git', 'README', 'entry', 'src']);
    const copied = createFs(overlay({ lower: [upper] }));
    expect(copied.readdirSync('/repo').toSorted()).toEqual(['.git', 'entry', 'src']);
    expect(copied.readdirSync('/repo/src')).toEqual(['tool']);
    expect(fs.readlinkSync('/repo/entry')).toBe('src/main.js');
    expect(fs.statSync('/repo/src/tool').mode & 0o777).toBe(0o755);
    expect(await judge(fs, '/repo')).toEqual({ log: ['first'], status: '' });
  });

  test('refuses to overwrite a file of the lower that differs, and overwrites it when told to', async (ctx) => {
    const { url } = await origin(ctx);
    const { fs } = stacked(base, { ...part, '/repo/README': 'mine\n' });
    await expect(git.clone({ fs, http, dir: '/repo', url })).rejects.toMatchObject({
      code: 'CheckoutConflictError',
      data: { filepaths: ['README'] },
    });
    expect(fs.readFileSync('/repo/README', 'utf8')).toBe('mine\n');
    await git.clone({ fs, http, dir: '/repo', url, noCheckout: true });
    await git.checkout({ fs, dir: '/repo', force: true });
    expect(fs.readFileSync('/repo/README', 'utf8')).toBe('readme\n');
    expect(await judge(fs, '/repo')).toEqual({ log: ['first'], status: '' });
  });

  test('commits changes, removals and new files, and pushes them', async (ctx) => {
    const { url, bare } = await origin(ctx);
    const { fs } = stacked(base, part);
    const dir = '/repo';
    await git.clone({ fs, http, dir, url });
    fs.appendFileSync('/repo/README', 'more\n');
    fs.unlinkSync('/repo/src/main.js');
    fs.mkdirSync('/repo/new');
    fs.writeFileSync('/repo/new/file', 'new\n');
    expect(await changed(fs, dir)).toEqual([
      ['README', 1, 2, 1],
      ['new/file', 0, 2, 0],
      ['src/main.js', 1, 0, 1],
    ]);
    await git.add({ fs, dir, filepath: ['README', 'new'] });
    await git.remove({ fs, dir, filepath: 'src/main.js' });
    expect((await judge(fs, dir)).status.split('\n')).toEqual(['M  README', 'A  new/file', 'D  src/main.js']);
    const oid = await git.commit({ fs, dir, message: 'second', author });
    expect(await changed(fs, dir)).toEqual([]);
    expect((await git.log({ fs, dir })).map(({ commit }) => commit.message)).toEqual(['second\n', 'first\n']);
    expect(await judge(fs, dir)).toEqual({ log: ['second', 'first'], status: '' });
    await git.push({ fs, http, dir });
    expect(await say(bare, 'rev-parse', 'main')).toBe(oid);
    await say(bare, 'fsck', '--strict', '--full');
  });

  test('goes from branch to branch', async (ctx) => {
    const { url } = await origin(ctx);
    const { fs } = stacked(base, part);
    const dir = '/repo';
    await git.clone({ fs, http, dir, url });
    await git.checkout({ fs, dir, ref: 'topic' });
    expect(fs.readdirSync('/repo/src').toSorted()).toEqual(['main.js', 'topic.js']);
    expect(await judge(fs, dir)).toEqual({ log: ['on a topic', 'first'], status: '' });
    await git.branch({ fs, dir, ref: 'mine', checkout: true });
    fs.rmSync('/repo/src', { recursive: true });
    expect(await changed(fs, dir)).toEqual([
      ['src/main.js', 1, 0, 1],
      ['src/topic.js', 1, 0, 1],
    ]);
    await git.checkout({ fs, dir, ref: 'main', force: true });
    expect(fs.readdirSync('/repo/src').toSorted()).toEqual(['main.js', 'tool']);
    expect(await git.listBranches({ fs, dir })).toEqual(['main', 'mine', 'topic']);
    expect(await judge(fs, dir)).toEqual({ log: ['first'], status: '' });
  });
});

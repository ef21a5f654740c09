// A day of an agent: it looks around, makes a mess, is set back, does better, and what it did is kept.
// Its calls stand here one by one, where a model would choose them.
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Sandbox } from './sandbox.js';
import { call, toolsOf } from './tools.js';

const folder = mkdtempSync(join(tmpdir(), 'agent-'));
try {
  const project = join(folder, 'project');
  mkdirSync(join(project, 'src'), { recursive: true });
  writeFileSync(join(project, 'package.json'), '{ "name": "shop" }\n');
  writeFileSync(join(project, 'src/price.js'), 'export const price = (net) => net * 1.19;\n');
  writeFileSync(join(project, 'src/old.js'), 'export {};\n');
  work(project);
} finally {
  rmSync(folder, { recursive: true });
}

function work(project: string): void {
  const sandbox = new Sandbox(project);
  const tools = toolsOf(sandbox);
  const agent = (name: string, ...values: string[]): void => {
    console.log(`agent: ${[name, ...values].join(' ').trimEnd()}\n  ${call(tools, name, ...values).trimEnd()}`);
  };
  const onDisk = (): string => readdirSync(project, { recursive: true }).toSorted().join(' ');

  agent('list', '/');
  agent('read', '/src/price.js');
  agent('read', '../../../etc/passwd');

  const clean = sandbox.checkpoint();
  agent('remove', '/src');
  agent('list', '/');
  sandbox.rollback(clean);
  console.log('\nSet back.');

  agent('list', '/src');
  agent('edit', '/src/price.js', '1.19', '(1 + rate)');
  agent('edit', '/src/price.js', '(net)', '(net, rate = 0.19)');
  agent('write', '/test/price.test.js', "import '../src/price.js';\n");
  agent('remove', '/src/old.js');
  agent('move', '/src', '/lib');

  console.log('\nFor review:');
  const changes = sandbox.changes();
  for (const { kind, path, from } of changes) console.log(`  ${kind} ${path}${from ? ` (was ${from})` : ''}`);
  console.log(`In the project, still: ${onDisk()}`);

  sandbox.keep(changes);
  console.log(`Kept:                  ${onDisk()}`);
  sandbox.close();
  console.log(readFileSync(join(project, 'lib/price.js'), 'utf8').trimEnd());
}

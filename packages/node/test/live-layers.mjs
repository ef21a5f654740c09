// What the tests of changing layers run as processes of their own, so that nothing in a test can hang on a mount.
//   view ROOT            prints what is seen of a tree, path by path, as JSON
//   look ROOT PATHS      the same of given paths (JSON), whether a listing names them or not
//   churn DIRS COUNT     changes directories at random, COUNT times
//   use ROOT             works in a mount until its standard input ends; prints the codes of all that failed
import * as fs from 'node:fs';
import { join } from 'node:path';

const [what, first = '', second = ''] = process.argv.slice(2);

/** The answer, or the code of its failure. */
function attempt(act) {
  try {
    return act();
  } catch (error) {
    return error.code;
  }
}

function look(path) {
  const stat = attempt(() => fs.lstatSync(path));
  if (typeof stat === 'string') return { failure: stat };
  const { mode, size, mtimeMs } = stat;
  if (stat.isSymbolicLink()) return { type: 'link', content: attempt(() => fs.readlinkSync(path)) };
  if (stat.isDirectory())
    return { type: 'directory', mode, content: attempt(() => fs.readdirSync(path).sort().join()) };
  return { type: 'file', mode, size, mtimeMs, content: attempt(() => fs.readFileSync(path, 'latin1')) };
}

function view(path, name, into) {
  const seen = look(path);
  into[name] = seen;
  if (seen.type === 'directory')
    for (const entry of seen.content.split(',').filter(Boolean)) view(join(path, entry), `${name}/${entry}`, into);
  return into;
}

const pick = (items) => items[Math.floor(Math.random() * items.length)];

function churn(directories, count) {
  for (let i = 0; i < count; i++) {
    const a = join(pick(directories), pick(['x', 'y', 'd/x', 'd/y', 'd/e/x', 'd', 'd/e']));
    const b = join(pick(directories), pick(['x', 'y', 'd/x', 'd', 'z']));
    attempt(() =>
      pick([
        () => fs.writeFileSync(a, 'w'.repeat(Math.random() * 9000)),
        () => fs.appendFileSync(a, 'more'),
        () => fs.mkdirSync(a, { recursive: true }),
        () => fs.rmSync(a, { recursive: true }),
        () => fs.renameSync(a, b),
        () => fs.symlinkSync('x', a),
        () => fs.chmodSync(a, 0o755),
      ])(),
    );
  }
}

function use(root) {
  const failed = new Set();
  const note = (answer) => typeof answer === 'string' && /^E[A-Z0-9]+$/.test(answer) && failed.add(answer);
  let going = true;
  process.stdin.on('end', () => (going = false)).resume();
  const turn = () => {
    for (const seen of Object.values(view(root, '', {}))) for (const answer of Object.values(seen)) note(answer);
    const path = join(root, pick(['x', 'y', 'd/x', 'd/e/x', 'own/x', 'own/y']));
    note(attempt(() => fs.mkdirSync(join(root, 'own'), { recursive: true })));
    note(
      attempt(
        pick([
          () => fs.appendFileSync(path, 'ours'),
          () => fs.chmodSync(path, 0o644),
          () => fs.rmSync(path, { recursive: true }),
          () => fs.renameSync(path, join(root, 'own/z')),
        ]),
      ),
    );
    if (going) setImmediate(turn);
    else console.log(JSON.stringify([...failed].sort()));
  };
  turn();
}

if (what === 'view') console.log(JSON.stringify(view(first, '', {})));
else if (what === 'look')
  console.log(JSON.stringify(Object.fromEntries(JSON.parse(second).map((name) => [name, look(first + name)]))));
else if (what === 'churn') churn(JSON.parse(first), Number(second));
else use(first);

// `pnpm bench [mount|memory]`: which benchmark, by its name.
const [name = 'mount', ...rest] = process.argv.slice(2);

if (name === 'memory') {
  process.argv.splice(2, process.argv.length, ...rest);
  await import('./memory/index.mjs');
} else await import('./mount.mjs');

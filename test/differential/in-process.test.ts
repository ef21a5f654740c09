// The core over the host's layers, without a mount, against the kernel: fast, so it looks at many more cases.
import { test } from 'vitest';
import { type Experiment, findNoDifference } from './property.js';
import { requireKernel } from './requirements.js';

const redirects = { userxattr: false, redirectDir: true };

const experiments: [name: string, experiment: Omit<Experiment, 'kinds'>][] = [
  ['on a tmpfs', { flavour: redirects, on: 'tmpfs', runs: 500, limitMs: 30_000 }],
  ['on the disk', { flavour: redirects, on: 'disk', runs: 60, limitMs: 15_000 }],
  ['without redirects', { flavour: { userxattr: false, redirectDir: false }, on: 'tmpfs', runs: 100, limitMs: 10_000 }],
  ['with an index', { flavour: { ...redirects, index: true }, on: 'tmpfs', runs: 200, limitMs: 20_000 }],
  ['leaving data below', { flavour: { ...redirects, metacopy: true }, on: 'tmpfs', runs: 200, limitMs: 15_000 }],
  ['by deep copy-up', { flavour: { ...redirects, deepMoves: true }, on: 'tmpfs', runs: 100, limitMs: 10_000 }],
  [
    'leaving data below, with an index',
    { flavour: { ...redirects, metacopy: true, index: true }, on: 'tmpfs', runs: 100, limitMs: 10_000 },
  ],
  ['with userxattr', { flavour: { userxattr: true, redirectDir: false }, on: 'tmpfs', runs: 100, limitMs: 10_000 }],
];

test.for(experiments)('the core %s does what the kernel does', { timeout: 900_000 }, async ([, experiment], ctx) => {
  requireKernel(ctx);
  await findNoDifference({ kinds: ['kernel', 'core'], ...experiment });
});

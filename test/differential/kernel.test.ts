// Our mount against the kernel's: the same random operations as system calls on both.
import { existsSync } from 'node:fs';
import { test } from 'vitest';
import { requireOrSkip } from '../support/require.js';
import { type Experiment, findNoDifference } from './property.js';
import { requireKernel } from './requirements.js';

const redirects = { userxattr: false, redirectDir: true };

const experiments: [name: string, experiment: Omit<Experiment, 'kinds'>][] = [
  ['on a tmpfs', { flavour: redirects, on: 'tmpfs', runs: 100, limitMs: 40_000 }],
  ['used by several users', { flavour: redirects, on: 'tmpfs', users: true, runs: 60, limitMs: 30_000 }],
  [
    'on the disk, each mount with a daemon',
    { flavour: { ...redirects, daemon: true }, on: 'disk', runs: 40, limitMs: 40_000 },
  ],
  ['without redirects', { flavour: { userxattr: false, redirectDir: false }, on: 'tmpfs', runs: 40, limitMs: 20_000 }],
  ['with an index', { flavour: { ...redirects, index: true }, on: 'tmpfs', runs: 60, limitMs: 30_000 }],
  ['leaving data below', { flavour: { ...redirects, metacopy: true }, on: 'tmpfs', runs: 40, limitMs: 20_000 }],
  ['with userxattr', { flavour: { userxattr: true, redirectDir: false }, on: 'tmpfs', runs: 60, limitMs: 30_000 }],
];

test.for(experiments)('a mount %s does what the kernel does', { timeout: 900_000 }, async ([, experiment], ctx) => {
  requireKernel(ctx);
  requireOrSkip(ctx, existsSync('/dev/fuse'), '/dev/fuse is missing');
  await findNoDifference({ kinds: ['kernel', 'ovl'], ...experiment });
});

/**
 * Reads `-o a=b,c,…` as the kernel's overlayfs, fuse-overlayfs and `mount` write it. An option that we do not know, or know
 * and cannot honour, is refused by its name: a mount that silently ignored one would not be what was asked for.
 */
import { ExitCode, MountError } from './mount-error.js';
import { type MountOption, optionGroups, refusedOptions } from './option-table.js';
import { OptionValue, splitEscaped } from './option-value.js';
import type { MountSettings } from './options.js';

/** Reads the text of one or several `-o`. Throws MountError (usage). */
export function parseMountOptions(text: string): MountSettings {
  const settings: MountSettings = { lower: [] };
  for (const option of splitEscaped(text, ',')) {
    if (option.trim() === '') continue;
    const equals = option.indexOf('=');
    const name = (equals < 0 ? option : option.slice(0, equals)).trim();
    if (/^x-/i.test(name)) continue; // for the readers of an fstab
    const value = new OptionValue(name, equals < 0 ? undefined : option.slice(equals + 1));
    optionNamed(name).apply(settings, value);
  }
  checkTogether(settings);
  return settings;
}

/** Refuses what the kernel refuses: each option alone would be honoured, both cannot be. */
function checkTogether({ userxattr, redirectDir, metacopy }: MountSettings): void {
  const conflict = (a: string, b: string): MountError =>
    new MountError(ExitCode.usage, `options '${a}' and '${b}' exclude each other: drop one of them`);
  const redirect = `redirect_dir=${redirectDir}`;
  if (userxattr === true && (redirectDir === 'on' || redirectDir === 'follow')) throw conflict('userxattr', redirect);
  if (userxattr === true && metacopy === 'on') throw conflict('userxattr', 'metacopy=on');
  if (metacopy === 'on' && redirectDir !== undefined && redirectDir !== 'on') throw conflict('metacopy=on', redirect);
}

function optionNamed(name: string): MountOption {
  for (const { options } of optionGroups) {
    if (Object.hasOwn(options, name)) return options[name] as MountOption;
  }
  if (Object.hasOwn(refusedOptions, name)) {
    throw new MountError(ExitCode.usage, `option '${name}' is refused: ${refusedOptions[name]}`);
  }
  const near = nearest(name);
  throw new MountError(
    ExitCode.usage,
    near === undefined ? `unknown option '${name}'` : `unknown option '${name}': did you mean '${near}'?`,
  );
}

/** The option that somebody who typed `name` may have meant. */
function nearest(name: string): string | undefined {
  let best: string | undefined;
  let least = name.length < 5 ? 2 : 3;
  for (const known of optionGroups.flatMap(({ options }) => Object.keys(options))) {
    const distance = editDistance(name.toLowerCase().replaceAll('-', '_'), known);
    if (distance < least) {
      least = distance;
      best = known;
    }
  }
  return best;
}

/** How many letters have to be added, dropped or changed (Levenshtein). */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const changed = (row[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(changed, (row[j] as number) + 1, (next[j - 1] as number) + 1));
    }
    row = next;
  }
  return row[b.length] as number;
}

/** What a command is, how its arguments are read, and how its help is written: from one description. */
import { parseArgs, type ParseArgsConfig } from 'node:util';
import { UsageError } from './exit.js';
import { printLine } from './print.js';

export interface Option {
  /** The long name, without dashes. */
  name: string;
  short?: string;
  /** What stands for the value in the help; absent for a switch. */
  value?: string;
  help: string;
}

export interface Arguments {
  /** Every value of an option, in order; a switch given is `['']`. */
  values(option: string): string[];
  value(option: string): string | undefined;
  has(option: string): boolean;
  positionals: string[];
}

export interface Command {
  name: string;
  summary: string;
  /** After `ovl NAME`. */
  usage: string[];
  /** Paragraphs between usage and options. */
  description: string;
  options: Option[];
  /** Further lists, after the options: a heading, and rows of a word and what it does, or one paragraph. */
  sections?: { title: string; rows: [word: string, does: string][] | string }[];
  /** Each a line to type and what it does. */
  examples: [line: string, does: string][];
  /** Exit codes besides 0 and 2 (usage). */
  exitCodes: [code: number, meaning: string][];
  run(args: Arguments): Promise<number>;
}

const HELP: Option = { name: 'help', short: 'h', help: 'print this help' };

/** Runs a command with the arguments after its name, or prints its help. Resolves to the exit code. */
export async function runCommand(command: Command, argv: readonly string[]): Promise<number> {
  const args = parse(command, argv);
  if (!args.has('help')) return await command.run(args);
  printLine(helpOf(command));
  return 0;
}

/** Throws UsageError, in one line, for anything that the command does not take. */
function parse(command: Command, argv: readonly string[]): Arguments {
  const options: NonNullable<ParseArgsConfig['options']> = {};
  for (const { name, short, value } of [...command.options, HELP]) {
    options[name] = { type: value === undefined ? 'boolean' : 'string', multiple: true, ...(short && { short }) };
  }
  let parsed: { values: Record<string, unknown>; positionals: string[] };
  try {
    parsed = parseArgs({ args: [...argv], options, allowPositionals: true, strict: true });
  } catch (error) {
    const [sentence] = (error as Error).message.split(/\. |\n/);
    throw new UsageError(`${sentence}`, command.name);
  }
  const values = (option: string): string[] => {
    const given = (parsed.values[option] ?? []) as (string | boolean)[];
    return given.map((value) => (typeof value === 'string' ? value : ''));
  };
  return {
    values,
    value: (option) => values(option).at(-1),
    has: (option) => values(option).length > 0,
    positionals: parsed.positionals,
  };
}

export function helpOf(command: Command): string {
  const flags = [...command.options, HELP].map(({ name, short, value, help }): [string, string] => {
    const long = `--${name}${value === undefined ? '' : ` ${value}`}`;
    return [short === undefined ? `    ${long}` : `-${short}, ${long}`, help];
  });
  const codes: [string, string][] = [[0, 'success'], [2, 'wrong usage'], ...command.exitCodes]
    .sort((a, b) => Number(a[0]) - Number(b[0]))
    .map(([code, meaning]) => [String(code), String(meaning)]);
  return [
    ...command.usage.map((usage, i) => `${i === 0 ? 'Usage:' : '      '} ovl ${command.name} ${usage}`.trimEnd()),
    '',
    command.description,
    '',
    'Options:',
    ...columns(flags),
    ...(command.sections ?? []).flatMap(({ title, rows }) => [
      '',
      `${title}:`,
      ...(typeof rows === 'string' ? [rows] : columns(rows)),
    ]),
    '',
    'Examples:',
    ...command.examples.flatMap(([line, does]) => [`  ${line}`, `      ${does}`]),
    '',
    'Exit codes:',
    ...columns(codes),
  ].join('\n');
}

/** Two columns, the left as wide as its widest entry. */
export function columns(rows: readonly (readonly [string, string])[]): string[] {
  const width = Math.max(...rows.map(([left]) => left.length));
  return rows.map(
    ([left, right]) => `  ${left.padEnd(width)}  ${right.replaceAll('\n', `\n${' '.repeat(width + 4)}`)}`,
  );
}

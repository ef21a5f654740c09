/** The version of this package, read from its own description so that there is one place to change. */
import { readFileSync } from 'node:fs';

const description: { version: string } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));

export const VERSION: string = description.version;

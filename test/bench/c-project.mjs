// A C program as larger ones are built: many small sources, most of whose reading is of headers in several directories.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const modules = 8;
const headersOfModule = 25;

/** @param {string} path @param {number} count Sources. */
export function writeSources(path, count) {
  const flags = [];
  for (let m = 0; m < modules; m++) {
    const dir = join(path, 'include', `module${m}`);
    mkdirSync(dir, { recursive: true });
    flags.push(`-Iinclude/module${m}`);
    for (let h = 0; h < headersOfModule; h++) {
      const name = `m${m}_${h}`;
      const before = h > 0 ? `#include "m${m}_${h - 1}.h"\n` : '';
      writeFileSync(
        join(dir, `${name}.h`),
        `#ifndef ${name}_h\n#define ${name}_h\n${before}struct ${name} { int kind; struct ${name} *next; };\n#define ${name}(x) ((x) * ${h} + ${m})\n#endif\n`,
      );
    }
  }
  mkdirSync(join(path, 'src'));
  const includes = Array.from({ length: modules }, (_, m) => `#include <m${m}_${headersOfModule - 1}.h>\n`).join('');
  const objects = [];
  for (let i = 0; i < count; i++) {
    writeFileSync(
      join(path, 'src', `f${i}.c`),
      `${includes}int f${i}(int x) { return m${i % modules}_0(x) + ${i}; }\n`,
    );
    objects.push(`src/f${i}.o`);
  }
  writeFileSync(join(path, 'src', 'main.c'), 'int f0(int);\nint main(void) { return f0(1) > 9; }\n');
  writeFileSync(
    join(path, 'Makefile'),
    `CFLAGS = ${flags.join(' ')}\nprogram: ${[...objects, 'src/main.o'].join(' ')}\n\t$(CC) -o $@ $^\n%.o: %.c $(wildcard include/*/*.h)\n\t$(CC) $(CFLAGS) -c -o $@ $<\n`,
  );
}

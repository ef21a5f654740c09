/** libfuse's set-uid helper, which mounts for those who may not. Without koffi: a command looks for it too. */
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';

/** The path of libfuse's helper, or undefined. */
export function findHelper(): string | undefined {
  const directories = (process.env['PATH'] ?? '/usr/bin:/bin').split(delimiter).filter((directory) => directory !== '');
  for (const name of ['fusermount3', 'fusermount']) {
    for (const directory of directories) {
      const path = join(directory, name);
      try {
        accessSync(path, constants.X_OK);
        return path;
      } catch {
        // not here
      }
    }
  }
  return undefined;
}

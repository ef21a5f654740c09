// The tools as a model is told of them: a name, what it does, its parameters, and the function that does it. Each answers
// text; an error is an answer too, since the model is to read it and try something else.
import { dirname } from 'node:path/posix';
import type { Sandbox } from './sandbox.js';

export interface Tool {
  description: string;
  parameters: readonly string[];
  run(...values: string[]): string;
}

export function toolsOf({ fs }: Sandbox): Record<string, Tool> {
  return {
    list: {
      description: 'Lists a directory; directories end in a slash.',
      parameters: ['path'],
      run: (path = '/') => {
        const entries = fs.readdirSync(path, { withFileTypes: true });
        return entries.map((entry) => (entry.isDirectory() ? `${entry.name}/` : entry.name)).join(' ');
      },
    },
    read: {
      description: 'Reads a file.',
      parameters: ['path'],
      run: (path = '') => fs.readFileSync(path, 'utf8'),
    },
    write: {
      description: 'Writes a whole file, and makes the directories on the way.',
      parameters: ['path', 'content'],
      run: (path = '', content = '') => {
        fs.mkdirSync(dirname(path), { recursive: true });
        fs.writeFileSync(path, content);
        return 'written';
      },
    },
    edit: {
      description: 'Replaces a piece of text that stands in a file exactly once.',
      parameters: ['path', 'from', 'to'],
      run: (path = '', from = '', to = '') => {
        const pieces = fs.readFileSync(path, 'utf8').split(from);
        if (pieces.length !== 2) return `error: the text stands ${pieces.length - 1} times in ${path}`;
        fs.writeFileSync(path, pieces.join(to));
        return 'edited';
      },
    },
    move: {
      description: 'Renames a file or a directory with all that is in it.',
      parameters: ['from', 'to'],
      run: (from = '', to = '') => {
        fs.renameSync(from, to);
        return 'moved';
      },
    },
    remove: {
      description: 'Removes a file, or a directory with all that is in it.',
      parameters: ['path'],
      run: (path = '') => {
        fs.rmSync(path, { recursive: true });
        return 'removed';
      },
    },
  };
}

/** Calls a tool as a model asks for it. */
export function call(tools: Record<string, Tool>, name: string, ...values: string[]): string {
  const tool = tools[name];
  if (!tool) return `error: there is no tool "${name}", only ${Object.keys(tools).join(', ')}`;
  try {
    return tool.run(...values);
  } catch (error) {
    return `error: ${error instanceof Error ? error.message : String(error)}`;
  }
}

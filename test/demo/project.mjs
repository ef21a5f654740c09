// The example that the demo works on.
export const project = {
  'README.md': '# Example\n\nA project of four files.\n',
  'LICENSE.txt': 'Do with it what you like.\n',
  'debug.log': 'nobody needs this any more\n'.repeat(200),
  'src/greet.txt': 'hello from the lower layer\n',
};

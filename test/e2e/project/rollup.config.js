import commonjs from '@rollup/plugin-commonjs';
import resolve from '@rollup/plugin-node-resolve';

export default {
  input: 'src/main.js',
  output: { file: 'dist/main.cjs', format: 'cjs', sourcemap: true },
  plugins: [resolve({ preferBuiltins: true }), commonjs()],
};

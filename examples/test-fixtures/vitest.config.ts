import { defineConfig } from 'vitest/config';

// vitest would look for one further up.
export default defineConfig({});

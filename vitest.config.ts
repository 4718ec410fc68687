import { configDefaults, defineConfig } from 'vitest/config';
import { LONG } from './vitest.long.config.ts';

export default defineConfig({
  test: {
    include: ['tests/**/*.test.ts'],
    exclude: [...configDefaults.exclude, ...LONG],
    testTimeout: 120_000,
    hookTimeout: 60_000,
    // See tests/helpers/dawdle.ts.
    env: process.env['TOWPATH_DAWDLE']
      ? { NODE_OPTIONS: `--import ${new URL('tests/helpers/dawdle.ts', import.meta.url).href}` }
      : {},
    pool: 'forks',
    maxWorkers: 4,
    globalSetup: ['tests/helpers/global.ts'],
  },
});

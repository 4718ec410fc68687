import { configDefaults, defineConfig } from 'vitest/config';
import { LONG } from './vitest.long.config.ts';

export default defineConfig({
  test: {
    include: ['tests/**/*.test.ts'],
    exclude: [...configDefaults.exclude, ...LONG],
    testTimeout: 120_000,
    hookTimeout: 60_000,
    pool: 'forks',
    maxWorkers: 4,
    globalSetup: ['tests/helpers/global.ts'],
  },
});

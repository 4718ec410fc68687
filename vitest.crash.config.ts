import { defineConfig } from 'vitest/config';

/** `npm run test:crash`: the full crash kit. Its sweeps run beside each other already. */
export default defineConfig({
  test: {
    include: ['tests/crash/**/*.crash.ts'],
    testTimeout: 7_200_000,
    hookTimeout: 60_000,
    pool: 'forks',
    maxWorkers: 1,
    globalSetup: ['tests/helpers/global.ts'],
  },
});

import { defineConfig } from 'vitest/config';

/** What `npm run test:long` runs and `npm test` leaves out: each takes minutes, and what it covers is covered there in a shorter form. */
export const LONG = [
  'tests/crash/random.test.ts',
  'tests/crash/others.test.ts',
  'tests/e2e/gemini.test.ts',
  'tests/e2e/opencode.test.ts',
  'tests/worktree/kill.test.ts',
];

export default defineConfig({
  test: {
    include: [...LONG, 'tests/crash/sweep.test.ts'],
    env: { TOWPATH_LONG: '1' },
    testTimeout: 240_000,
    hookTimeout: 60_000,
    pool: 'forks',
    maxWorkers: 2,
    globalSetup: ['tests/helpers/global.ts'],
  },
});

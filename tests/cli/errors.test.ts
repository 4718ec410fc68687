import { expect, test, vi } from 'vitest';
import { main } from '../../daemon/cli/program.ts';

test.each([
  [['help', 'nonsense'], 2, 'towpath: unknown command \'nonsense\': see "towpath help"'],
  [['nonsense'], 2, 'towpath: unknown command \'nonsense\': see "towpath help"'],
  [['events', '--limit', 'few'], 2, 'towpath: "few" is no whole number: write 1 or more'],
])('%j is one line that says what to do', async (argv, code, line) => {
  let told = '';
  const heard = (chunk: unknown) => {
    told += `${String(chunk).trim()}\n`;
    return true;
  };
  const spies = [
    vi.spyOn(process.stderr, 'write').mockImplementation(heard),
    vi.spyOn(console, 'error').mockImplementation(heard),
  ];
  try {
    expect(await main(argv, '0.0.0')).toBe(code);
  } finally {
    for (const spy of spies) spy.mockRestore();
  }
  expect(told).toBe(`${line}\n`);
});

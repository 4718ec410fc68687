// The command line inside this process: for what it says and does, where it need not be a process of its own. Thirty times as fast.
import { vi } from 'vitest';
import { main } from '../../daemon/cli/program.ts';
import type { Result, TestWorkspace } from './workspace.ts';

/** One at a time: what is printed is caught. */
export async function cli(ws: TestWorkspace, ...args: string[]): Promise<Result> {
  const caught = { stdout: '', stderr: '' };
  const into = (stream: keyof typeof caught) => (text: unknown) => {
    caught[stream] += `${String(text)}\n`;
  };
  const log = vi.spyOn(console, 'log').mockImplementation(into('stdout'));
  const error = vi.spyOn(console, 'error').mockImplementation(into('stderr'));
  try {
    return { code: await main(['-w', ws.root, ...args], '0'), ...caught };
  } finally {
    log.mockRestore();
    error.mockRestore();
  }
}

export async function cliJson<T>(ws: TestWorkspace, ...args: string[]): Promise<T> {
  const { code, stdout, stderr } = await cli(ws, ...args, '--json');
  if (code !== 0) throw new Error(`towpath ${args.join(' ')}: exit ${code}: ${stderr}`);
  return JSON.parse(stdout) as T;
}

// Runs of agents that the readers end: one that only waits out a limit is sent away, and what it came to is what its reader says.
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { commandAgent } from '../../daemon/agents/command.ts';
import type { Agent, AgentEvent, Reader } from '../../daemon/agents/port.ts';
import { runAgent } from '../../daemon/agents/run.ts';
import { StreamReader } from '../../daemon/agents/stream.ts';
import { blankRequest, SETTINGS } from '../helpers/cli-run.ts';
import { tempDir } from '../process/helpers.ts';

/** Says so once stderr tells that it sleeps. */
class SleepyReader extends StreamReader {
  #sleeps = false;
  get hopeless(): boolean {
    return this.#sleeps;
  }
  errorLine(text: string): AgentEvent[] {
    this.#sleeps ||= text === 'sleeping 3600';
    return [{ type: 'log', content: text }];
  }
}

function start(script: string, reader: () => Reader) {
  const dir = tempDir();
  const program = join(dir, 'agent');
  writeFileSync(program, `#!/bin/sh\n${script}\n`);
  chmodSync(program, 0o755);
  const agent: Agent = { ...commandAgent('sleepy'), reader };
  const events: AgentEvent[] = [];
  const minute = 60_000;
  const request = blankRequest({ worktree: dir, run_dir: join(dir, 'run') });
  const report = runAgent({
    ...{ agent, settings: { ...SETTINGS, command: [program] }, request, marker: `t/1/${request.new_session}` },
    env: { PATH: process.env['PATH'] ?? '', TOWPATH_RUN: `t/1/${request.new_session}` },
    timeouts: { total_ms: minute, stuck_ms: minute, first_output_ms: minute },
    output: { keep: 1e6, disk_free: 0 },
    onEvent: (event) => events.push(event),
  });
  return { report, events };
}

const LIMITED = `echo '{"type":"error","outcome":"rate_limited","content":"full","retry_after":3600}'`;

test('one that only waits for a limit to pass is ended, and its limit is what it came to', async () => {
  const begun = Date.now();
  const { report, events } = start(`${LIMITED}\necho 'sleeping 3600' >&2\nsleep 300 & wait`, () => new SleepyReader());
  const { verdict, ended, lost } = await report;
  expect(verdict).toMatchObject({ outcome: 'rate_limited', reason: 'full' });
  expect(Date.parse(verdict.retry_at!)).toBeGreaterThan(begun + 3_500_000);
  expect([ended, lost]).toEqual([null, false]);
  expect(Date.now() - begun).toBeLessThan(30_000);
  expect(events).toContainEqual({ type: 'log', content: 'sleeping 3600' });
});

test('what stderr tells at the very end is read too, and a reader that does not ask for it gets none', async () => {
  const script = `echo '{"type":"result","success":true,"output":"x"}'; printf last >&2`;
  const wants = start(script, () => new SleepyReader());
  expect((await wants.report).verdict.outcome).toBe('ok');
  expect(wants.events.at(-1)).toEqual({ type: 'log', content: 'last' });
  const not = start(script, () => new StreamReader());
  await not.report;
  expect(not.events.map((event) => event.type)).toEqual(['result']);
});

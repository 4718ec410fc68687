// Schedules as files: what is filed of them, what is wrong with them, and when they come, by zone and over summer time.
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { Workspace } from '../../daemon/paths.ts';
import { cronOf } from '../../daemon/schedule/cron.ts';
import { readSchedules, type Schedule } from '../../daemon/schedule/file.ts';
import { parseTask } from '../../daemon/task/file.ts';
import { tempDir } from '../helpers/workspace.ts';

const workspace = new Workspace(tempDir());
afterAll(() => rmSync(workspace.root, { recursive: true }));
async function read(name: string, content: string) {
  rmSync(workspace.schedules, { recursive: true, force: true });
  mkdirSync(workspace.schedules);
  writeFileSync(join(workspace.schedules, name), content);
  const [found] = await readSchedules(workspace);
  return found!;
}
const times = async (pattern: string, zone: string, from: string, count: number) => {
  const cron = await cronOf(pattern, zone);
  if ('problem' in cron) throw new Error(cron.problem);
  const found: string[] = [];
  for (let at = Date.parse(from); found.length < count; ) {
    at = cron.next(at)!;
    expect(cron.last(at)).toBe(at);
    expect(cron.last(at - 1)).toBeLessThan(at);
    found.push(new Date(at).toISOString().slice(0, 16));
  }
  return found;
};

it('files the same task without `schedule`, with an id of its own', async () => {
  const found = (await read(
    'nightly.md',
    '---\n# mine\nagent: shell # kept\nschedule:\n  cron: "0 3 * * *"\n  timezone: Europe/Berlin\nchecks: ["true"]\n---\n# Tidy\n\nAll of it.  \n',
  )) as Schedule;
  expect(found.rule).toEqual({ cron: '0 3 * * *', timezone: 'Europe/Berlin', overlap: 'skip', catch_up: 'one' });
  const { id, content } = found.taskAt(Date.parse('2026-11-21T02:00:00Z'));
  expect(id).toBe('nightly-20261121-0200');
  expect(content).toContain('agent: shell # kept\n');
  expect(content.endsWith('---\n# Tidy\n\nAll of it.  \n')).toBe(true);
  expect(parseTask(Buffer.from(content))).toMatchObject({
    refusal: null,
    data: { id, agent: 'shell', checks: ['true'] },
    spec: { id, agent: 'shell' },
  });
  expect(parseTask(Buffer.from(content)).data).not.toHaveProperty('schedule');
});

it('needs nothing but a cron expression and a body; seconds are told in the id', async () => {
  const short = (await read('short.md', '---\nschedule: "@daily"\n---\nTick.\n')) as Schedule;
  expect(short.rule).toEqual({ cron: '@daily', overlap: 'skip', catch_up: 'one' });
  const found = (await read('tick.md', '---\nschedule: {cron: "*/10 * * * * *"}\n---\nTick.\n')) as Schedule;
  expect(found.taskAt(Date.parse('2026-01-02T03:04:10Z')).id).toBe('tick-20260102-030410');
});

it('may say it in the front matter itself', async () => {
  const flat =
    '---\ncron: "30 2 * * *"\ntimezone: Europe/Berlin\noverlap: true\ncatch_up: false\nagent: shell\n---\nTick.\n';
  const said = { cron: '30 2 * * *', timezone: 'Europe/Berlin', overlap: 'queue', catch_up: 'none' };
  const found = (await read('flat.md', flat)) as Schedule;
  expect(found.rule).toEqual(said);
  expect(parseTask(Buffer.from(found.taskAt(0).content)).data).toEqual({ id: 'flat-19700101-0000', agent: 'shell' });
  const mixed = (await read('mixed.md', flat.replace('cron:', 'schedule:'))) as Schedule;
  expect(mixed.rule).toEqual(said);
});

it.each([
  ['---\nschedule: {cron: "0 3 * *"}\n---\nx\n', 'schedule.cron: CronPattern'],
  ['---\nschedule: {cron: "0 0 31 2 *"}\n---\nx\n', 'schedule.cron: "0 0 31 2 *" never comes'],
  ['---\nschedule: {cron: "2030-01-01"}\n---\nx\n', 'is a date'],
  ['---\nschedule: {cron: "0 3 * * *", timezone: Mars/Base}\n---\nx\n', 'schedule.timezone: "Mars/Base" is none'],
  ['---\nschedule: {cron: "0 3 * * *", overlap: maybe}\n---\nx\n', 'schedule.overlap: '],
  ['---\nschedule: 5\n---\nx\n', 'schedule: write a cron expression in quotes'],
  ['---\nschedule: "0 3 * *"\n---\nx\n', 'schedule.cron: CronPattern'],
  ['---\nschedule: {corn: "0 3 * * *"}\n---\nx\n', 'schedule.cron: write a cron expression in quotes'],
  ['---\nagent: shell\n---\nx\n', 'schedule.cron: write a cron expression in quotes'],
  ['x\n', 'schedule.cron: write a cron expression in quotes'],
  ['---\nschedule: {cron: "0 3 * * *"}\nid: a\n---\nx\n', 'id: each task of a schedule gets its own'],
  ['---\nschedule: {cron: "0 3 * * *"}\npriority: P9\n---\nx\n', 'priority: "P9" is not allowed'],
  ['---\nschedule: {cron: "0 3 * * *"}\n---\n', 'the body is empty'],
  ['---\nschedule: [\n---\nx\n', 'bad YAML'],
])('%j says what is wrong', async (content, problem) => {
  expect(await read('a.md', content)).toEqual({ name: 'a', problem: expect.stringContaining(problem) });
});

it('a name that is no id is wrong; other files are left alone', async () => {
  expect(await read('a b.md', '---\nschedule: {cron: "0 3 * * *"}\n---\nx\n')).toMatchObject({
    problem: expect.stringContaining('its name'),
  });
  expect(await read('notes.txt', 'x')).toBeUndefined();
});

describe('cron', () => {
  it('knows time zones', async () => {
    expect(await times('0 3 * * *', 'Europe/Berlin', '2026-11-21T00:00:00Z', 2)).toEqual([
      '2026-11-21T02:00',
      '2026-11-22T02:00',
    ]);
    expect(await times('0 3 * * 1-5', 'America/New_York', '2026-11-20T09:00:00Z', 1)).toEqual(['2026-11-23T08:00']);
  });
  it('a time that spring leaves out comes an hour later, one that autumn has twice comes once', async () => {
    expect(await times('30 2 * * *', 'Europe/Berlin', '2026-03-28T12:00:00Z', 2)).toEqual([
      '2026-03-29T01:00',
      '2026-03-30T00:30',
    ]);
    expect(await times('30 2 * * *', 'Europe/Berlin', '2026-10-24T12:00:00Z', 2)).toEqual([
      '2026-10-25T00:30',
      '2026-10-26T01:30',
    ]);
  });
  it('half hours come through both hours of autumn', async () => {
    const both = ['2026-10-25T00:00', '2026-10-25T00:30', '2026-10-25T01:00', '2026-10-25T01:30', '2026-10-25T02:00'];
    expect(await times('*/30 * * * *', 'Europe/Berlin', '2026-10-24T23:45:00Z', 5)).toEqual(both);
  });
});

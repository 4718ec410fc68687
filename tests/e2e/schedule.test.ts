// Schedules: filed when their time has come, once for each time, whatever happens in between.
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import type { TaskJson } from '../../daemon/task/terms.ts';
import { testClock } from '../helpers/clock.ts';
import { type TestWorkspace, until, workspaces } from '../helpers/workspace.ts';

const make = workspaces();
const DAY = 86_400_000;
const clocks: ReturnType<typeof testClock>[] = [];
afterEach(() => {
  for (const { env } of clocks.splice(0))
    rmSync(dirname(env['NODE_OPTIONS']!.slice('--import='.length)), { recursive: true });
});
const clock = () => {
  clocks.push(testClock());
  return clocks.at(-1)!;
};
const SETTINGS = 'agent: shell\ndurability: fast\nretry: {initial: 100ms}\n';
const task = (rule: string, script = 'echo > out', matter = '') =>
  `---\nschedule: {${rule}}\n${matter}expect: any\n---\n# Again\n\n\`\`\`sh\n${script}\n\`\`\`\n`;
const ids = (ws: TestWorkspace): string[] =>
  ws
    .json<TaskJson[]>(['list'])
    .map(({ id }) => id)
    .sort();
interface Entry {
  rule: string;
  since: string;
  filing: { at: string; task: string } | null;
  last: { at: string; task: string } | null;
  skipped: { at: string; task: string } | null;
}
const book = (ws: TestWorkspace): Record<string, Entry> =>
  existsSync(ws.path('.towpath/schedules.json'))
    ? JSON.parse(readFileSync(ws.path('.towpath/schedules.json'), 'utf8'))
    : {};
const keep = (ws: TestWorkspace, entries: Record<string, Partial<Entry>>) => {
  const empty = { filing: null, last: null, skipped: null };
  const all = Object.entries(entries).map(([name, entry]) => [name, { ...empty, ...entry }]);
  writeFileSync(ws.path('.towpath/schedules.json'), JSON.stringify(Object.fromEntries(all)));
};
/** Midnight UTC of the day before, and the id of a task that was planned for then. */
const midnight = (daysAgo: number) => new Date(Math.floor(Date.now() / DAY) * DAY - daysAgo * DAY);
const idAt = (name: string, at: Date) => `${name}-${at.toISOString().slice(0, 10).replaceAll('-', '')}-0000`;
const DAILY = 'cron: "0 0 * * *", timezone: UTC';
const KEY = '0 0 * * * UTC';

it('files a task each time, and runs it', { timeout: 60_000 }, async () => {
  const ws = make(SETTINGS);
  ws.file(
    'schedules/tick.md',
    task('cron: "* * * * * *", overlap: queue', 'echo "$TOWPATH_TASK_ID" >> "$TOWPATH_WORKSPACE/ran"'),
  );
  await ws.start();
  const ran = () => (existsSync(ws.path('ran')) ? readFileSync(ws.path('ran'), 'utf8').trim().split('\n') : []);
  await until(
    () => ran().length >= 3,
    'three have run',
    40_000,
    () => ws.output.slice(-2000),
  );
  for (const id of ran()) expect(id).toMatch(/^tick-\d{8}-\d{6}$/);
  expect(new Set(ran()).size).toBe(ran().length);
  // A file that is taken away files nothing more.
  rmSync(ws.path('schedules/tick.md'));
  await until(() => book(ws)['tick'] === undefined || ws.run(['schedule', 'list']).stdout === '', 'it is gone');
});

it('one that is new has missed nothing; what was missed meanwhile is made up for once', {
  timeout: 60_000,
}, async () => {
  const ws = make(SETTINGS);
  ws.file('schedules/new.md', task(DAILY));
  ws.file('schedules/old.md', task(DAILY));
  ws.file('schedules/none.md', task(`${DAILY}, catch_up: none`));
  ws.file('schedules/other.md', task('cron: "0 0 * * *", timezone: Etc/GMT+0'));
  const since = midnight(5).toISOString();
  keep(ws, { old: { rule: KEY, since }, none: { rule: KEY, since }, other: { rule: KEY, since } });
  expect(ws.drain().code).toBe(0);
  expect(ids(ws)).toEqual([idAt('old', midnight(0))]);
  expect(ws.where(idAt('old', midnight(0)))).toBe('done');
  expect(book(ws)).toMatchObject({
    old: { since: midnight(0).toISOString(), last: { task: idAt('old', midnight(0)) }, filing: null },
    none: { since: midnight(0).toISOString(), last: null },
  });
  // Nothing is filed twice, though nothing was done with what is there.
  expect(ws.drain().code).toBe(0);
  expect(ids(ws)).toHaveLength(1);
  // Days later, by the clock of the machine.
  const later = clock();
  later.set(3 * DAY);
  expect(ws.drain([], later.env).code).toBe(0);
  expect(ids(ws).sort()).toEqual(
    ['new', 'old', 'old', 'other'].map((name, n) => idAt(name, midnight(n === 1 ? 0 : -3))).sort(),
  );
  // Set back again: what was filed is not filed anew.
  later.set(0);
  expect(ws.drain([], later.env).code).toBe(0);
  later.set(3 * DAY);
  expect(ws.drain([], later.env).code).toBe(0);
  expect(ids(ws)).toHaveLength(4);
});

it('killed between filing and noting, it files once; killed before filing, it files after', {
  timeout: 60_000,
}, async () => {
  const ws = make(SETTINGS);
  const at = midnight(0).toISOString();
  const since = midnight(2).toISOString();
  const names = ['filed', 'ran', 'unfiled'];
  for (const name of names)
    ws.file(`schedules/${name}.md`, task(DAILY, 'echo "$TOWPATH_TASK_ID" >> "$TOWPATH_WORKSPACE/ran"'));
  const filing = (name: string) => ({ rule: KEY, since, filing: { at, task: idAt(name, midnight(0)) } });
  for (const name of ['filed', 'ran'])
    ws.drop(
      idAt(name, midnight(0)),
      `---\nid: ${idAt(name, midnight(0))}\nexpect: any\n---\n\`\`\`sh\necho by hand >> "$TOWPATH_WORKSPACE/ran"\n\`\`\`\n`,
    );
  keep(ws, { ran: filing('ran'), filed: filing('filed'), unfiled: filing('unfiled') });
  expect(ws.drain().code).toBe(0);
  expect(readFileSync(ws.path('ran'), 'utf8').trim().split('\n').sort()).toEqual([
    'by hand',
    'by hand',
    idAt('unfiled', midnight(0)),
  ]);
  for (const name of names)
    expect(book(ws)[name]).toMatchObject({ since: at, filing: null, last: { task: idAt(name, midnight(0)) } });
  // Its note is lost, and its task was cleared away: it has run, and runs no more.
  rmSync(ws.path('queues/done', `${idAt('ran', midnight(0))}.md`));
  keep(ws, { ran: filing('ran'), filed: { rule: KEY, since }, unfiled: { rule: KEY, since } });
  expect(ws.drain().code).toBe(0);
  expect(readFileSync(ws.path('ran'), 'utf8').trim().split('\n')).toHaveLength(3);
});

it('while a task of it is not over the next is left out and told, or queued where that is wanted', {
  timeout: 60_000,
}, async () => {
  const ws = make(SETTINGS);
  ws.file('schedules/skips.md', task(DAILY, 'echo > out', 'review: human\n'));
  ws.file('schedules/queues.md', task(`${DAILY}, overlap: queue`, 'echo > out', 'review: human\n'));
  const since = midnight(2).toISOString();
  keep(ws, { skips: { rule: KEY, since }, queues: { rule: KEY, since } });
  const time = clock();
  ws.drain([], time.env);
  expect(ids(ws)).toEqual([idAt('queues', midnight(0)), idAt('skips', midnight(0))]);
  time.set(DAY);
  const { stdout, stderr } = ws.drain([], time.env);
  expect(ids(ws)).toEqual([idAt('queues', midnight(0)), idAt('queues', midnight(-1)), idAt('skips', midnight(0))]);
  expect(stdout + stderr).toContain(`is left out: ${idAt('skips', midnight(0))} is not over, it is in provisional/`);
  expect(book(ws)['skips']).toMatchObject({ skipped: { at: midnight(-1).toISOString() } });
  ws.run(['accept', idAt('skips', midnight(0))]);
  time.set(2 * DAY);
  ws.drain([], time.env);
  expect(ids(ws)).toContain(idAt('skips', midnight(-2)));
});

it('one that is broken is told, holds up nobody, and goes on when it is mended', { timeout: 60_000 }, async () => {
  const ws = make(SETTINGS);
  ws.file('schedules/bad.md', task('cron: "every day"'));
  ws.file('schedules/ghost.md', task(DAILY, 'true', 'role: ghost\n'));
  ws.file('schedules/good.md', task(DAILY));
  keep(
    ws,
    Object.fromEntries(['bad', 'ghost', 'good'].map((name) => [name, { rule: KEY, since: midnight(2).toISOString() }])),
  );
  await ws.start();
  await ws.reaches(idAt('good', midnight(0)), 'done');
  interface Status {
    faults: { what: string }[];
    schedules: { name: string; next: string | null; problem: string | null; last: { task: string } | null }[];
  }
  const status = ws.json<Status>(['status']);
  expect(status.faults.map(({ what }) => what).sort()).toEqual([
    expect.stringContaining('schedules/bad.md: schedule.cron: CronPattern'),
    expect.stringContaining('schedules/ghost.md: role: "ghost" does not exist'),
  ]);
  expect(status.schedules).toMatchObject([
    { name: 'bad', next: null, problem: expect.stringContaining('schedule.cron') },
    { name: 'ghost', problem: null },
    { name: 'good', next: midnight(-1).toISOString(), last: { task: idAt('good', midnight(0)) } },
  ]);
  expect(ws.run(['status']).stdout).toMatch(/Schedules\n(.*\n)* {2}good\s/);
  expect(ws.run(['schedule', 'list']).stdout).toContain(idAt('good', midnight(0)));
  ws.file('schedules/bad.md', task(DAILY));
  ws.file('schedules/ghost.md', task(DAILY));
  await ws.reaches(idAt('ghost', midnight(0)), 'done');
  await until(() => ws.json<Status>(['status']).faults.length === 0, 'the faults are over');
  expect(ws.json<{ name: string }[]>(['schedule', 'list'])).toHaveLength(3);
});

// What is old leaves the ledger a few rows at a time; sums, today and the file's size stay.
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { TowpathEvent } from '../../daemon/events.ts';
import { type Ledger, openLedger } from '../../daemon/ledger/ledger.ts';
import { Workspace } from '../../daemon/paths.ts';

const DAY = 86_400_000;
const NOON = new Date(2026, 5, 30, 12).getTime();
const at = (days: number, n = 0) => new Date(NOON - days * DAY + n * 1000).toISOString();

let workspace: Workspace;
let ledger: Ledger;
beforeEach(() => {
  workspace = new Workspace(mkdtempSync(join(tmpdir(), 'towpath-retain-')));
  ledger = openLedger(workspace);
});
afterEach(() => {
  ledger.close();
  rmSync(workspace.root, { recursive: true, force: true });
});

/** A run of a task, and its way to done. */
function record(task: string, when: string, cost: number | null, outcome: 'ok' | 'failed' = 'ok'): void {
  const project = task.endsWith('3') ? 'site' : undefined;
  const who = { task, attempt: 1, agent: 'claude', model: 'sonnet', role: 'implementer', project };
  const used = { duration_ms: 1500, input: 10, output: 20, cache_read: 30, cache_write: 40, cost_usd: cost };
  const events: TowpathEvent[] = [
    { at: when, event: 'attempt_started', ...who, branch: null, resumed: false },
    {
      at: when,
      event: 'check_finished',
      task,
      attempt: 1,
      command: 'test',
      code: 0,
      ok: true,
      duration_ms: 1,
      tree: null,
    },
    {
      at: when,
      event: 'hook_finished',
      task,
      moment: 'gate',
      hook: 'h',
      ok: true,
      decision: 'continue',
      reason: '',
      duration_ms: 1,
    },
    { at: when, event: 'attempt_finished', ...who, ...used, outcome, reason: '' },
    { at: when, event: 'transition', task, from: 'claimed', to: outcome === 'ok' ? 'done' : 'failed', outcome },
  ];
  for (const event of events) ledger.record(event);
}

it('lets go of what is older, in batches, and keeps the rest and the sums', () => {
  for (let n = 0; n < 50; n++) record(`old${n}`, at(100 - (n % 2), n), n % 5 ? 0.5 : null, n % 10 ? 'ok' : 'failed');
  for (let n = 0; n < 10; n++) record(`new${n}`, at(1, n), 1);
  record('today', at(0), 3);
  const before = ledger.stats();
  const [groups, sums] = [
    (s: typeof before) => [s.total, s.by_agent, s.by_role, s.by_model, s.by_project],
    before.by_day,
  ];
  expect(before.total).toMatchObject({ runs: 61, cost_usd: 33, cost_unknown: 10 });
  let rounds = 1;
  while (ledger.letGo(at(90), 20)) rounds++;
  expect(rounds).toBeGreaterThan(5);
  expect(ledger.letGo(at(90), 20)).toBe(false);
  expect(ledger.events().every((event) => event.at >= at(90))).toBe(true);
  expect(ledger.events()).toHaveLength(55);
  expect(ledger.attempts().map(({ task }) => task)).toEqual([
    ...Array.from({ length: 10 }, (_, n) => `new${n}`),
    'today',
  ]);
  expect(ledger.checks({ task: 'old1' })).toEqual([]);
  expect(ledger.checks({ task: 'new1' })).toHaveLength(1);
  const after = ledger.stats();
  expect(before.by_project.map(({ key, runs }) => [key, runs])).toEqual([
    ['(none)', 55],
    ['site', 6],
  ]);
  expect(groups(after)).toEqual(groups(before));
  expect(after.by_day).toEqual(sums);
  expect(after.accepted.tasks).toHaveLength(11);
  expect(ledger.stats({ since: at(95) }).total.runs).toBe(11);
  expect(ledger.stats({ since: at(99) }).total.runs).toBe(36);
  expect(ledger.spent({ since: new Date(new Date(NOON).setHours(0, 0, 0, 0)).toISOString() })).toBe(3);
  // Sums of a second time are added to those of the first.
  while (ledger.letGo(at(-1), 20));
  expect(groups(ledger.stats())).toEqual(groups(before));
  expect(ledger.attempts()).toEqual([]);
});

it('a file that is written and let go of for ever keeps its size', () => {
  const size = () => statSync(workspace.ledger).size + statSync(`${workspace.ledger}-wal`).size;
  let largest = 0;
  for (let day = 200; day > 0; day--) {
    for (let n = 0; n < 40; n++) record(`d${day}-${n}`, at(day, n), 0.1);
    ledger.flush();
    while (ledger.letGo(at(day + 10), 200));
    if (day === 150) largest = size();
  }
  expect(ledger.stats().total.runs).toBe(8000);
  expect(ledger.events().length).toBeLessThanOrEqual(40 * 5 * 12);
  expect(size()).toBeLessThan(largest * 1.3);
}, 60_000);

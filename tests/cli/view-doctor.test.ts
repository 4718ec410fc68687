// doctor and stats: each fault becomes a finding with something to do about it, and one broken look stops no other.
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Probe } from '../../daemon/agents/port.ts';
import { type DoctorSources, doctorFailed, gatherDoctor, renderDoctor } from '../../daemon/cli/view/doctor.ts';
import { atLeast, inotifyFindings } from '../../daemon/cli/view/doctor-machine.ts';
import type { Finding } from '../../daemon/cli/view/finding.ts';
import { renderStats } from '../../daemon/cli/view/stats.ts';
import { loadSettings } from '../../daemon/config.ts';
import { TowpathError } from '../../daemon/errors.ts';
import { openLedger } from '../../daemon/ledger/ledger.ts';
import type { Workspace } from '../../daemon/paths.ts';
import { CONTROLS, ESCAPE, HOSTILE, NOW, put, putDaemon, queueOf, task, tempWorkspace } from './view-fixtures.ts';

let workspace: Workspace;
beforeEach(() => {
  workspace = tempWorkspace();
});
afterEach(() => rmSync(workspace.root, { recursive: true, force: true }));

const probe =
  (more: Partial<Probe> = {}) =>
  async (): Promise<Probe> => ({ installed: true, path: '/bin/x', version: '1.0', ready: true, why: null, ...more });
const doctor = (more: Partial<DoctorSources> = {}) =>
  gatherDoctor({
    workspace,
    loaded: loadSettings(workspace, {}),
    queue: queueOf(),
    agents: [{ name: 'claude', probe: probe() }],
    ...more,
  });
const of = (findings: Finding[], area: string) => findings.filter((one) => one.area === area);
const git = (...args: string[]) =>
  execFileSync('git', ['-c', 'user.name=t', '-c', 'user.email=t@e', ...args], { cwd: workspace.root, stdio: 'ignore' });

describe('doctor', () => {
  it('finds nothing wrong in a sound workspace', async () => {
    git('init', '-q', '-b', 'main');
    git('commit', '-q', '--allow-empty', '-m', 'first');
    put(join(workspace.hooks, 'pre_task'), '#!/bin/sh\n');
    chmodSync(join(workspace.hooks, 'pre_task'), 0o755);
    put(join(workspace.hooks, 'post_task.sample'), '#!/bin/sh\n');
    const findings = await doctor();
    expect(findings.filter((one) => one.level === 'error')).toEqual([]);
    expect(of(findings, 'hooks')).toEqual([{ area: 'hooks', level: 'ok', what: 'pre_task', next: '' }]);
    expect(of(findings, 'git').at(-1)?.what).toMatch(/^repo: .*, main at [0-9a-f]{8}$/);
    expect(doctorFailed(findings)).toBe(false);
  });

  it('names each fault and what to do', async () => {
    put(workspace.settings, 'agent: claude\nlimits: {disk_free: 900TB}\nserver: {api_key: hidden}\n');
    put(join(workspace.hooks, 'pre_task'), '#!/bin/sh\n');
    put(join(workspace.hooks, 'gate.d', '10-lint'), '#!/bin/sh\n');
    put(join(workspace.hooks, 'pretask'), '#!/bin/sh\n');
    chmodSync(join(workspace.hooks, 'pretask'), 0o755);
    put(join(workspace.roles, 'bad.md'), '---\nmax_turns: many\n---\nx');
    mkdirSync(join(workspace.root, '.worktrees', 'task-gone'), { recursive: true });
    mkdirSync(join(workspace.root, '.worktrees', 'task-kept'), { recursive: true });
    rmSync(workspace.queue('done'), { recursive: true });
    const findings = await doctor({
      queue: queueOf(task('kept', 'claimed')),
      agents: [
        { name: 'claude', probe: probe({ ready: false, why: 'not logged in: run "claude /login"' }) },
        { name: 'codex', probe: async () => Promise.reject(new Error('boom')) },
      ],
    });
    const found = findings
      .filter((one) => one.level !== 'ok')
      .map((one) => `${one.level} ${one.area}: ${one.what} → ${one.next}`)
      .join('\n');
    for (const words of [
      'error agents: claude: 1.0, /bin/x; not ready: not logged in',
      'warn hooks: pre_task is not executable, so it does not run → chmod +x hooks/pre_task',
      'chmod +x hooks/gate.d/10-lint',
      'pretask is named like no moment',
      'error disk:',
      'task-gone belongs to no task',
      'warn queues: queues/done is missing → towpath init',
      'error roles: ',
      'no git repository',
      'warn daemon: not running, and 1 task claimed',
    ])
      expect(found).toContain(words);
    expect(found).not.toContain('task-kept');
    expect(JSON.stringify(findings)).not.toContain('hidden');
    expect(of(findings, 'settings').map((one) => one.what)).toContain('agent = claude (towpath.yaml)');
    expect(doctorFailed(findings)).toBe(true);
  });

  it('goes on when the settings cannot be read, or a look fails', async () => {
    const loaded = new TowpathError('bad_settings', 'towpath.yaml line 1: no', 'mend the YAML');
    const queue = { ...queueOf(), counts: async () => Promise.reject(new Error('queue broke')) };
    const findings = await doctor({ loaded, queue: queue as never });
    expect(of(findings, 'settings')).toEqual([
      { area: 'settings', level: 'error', what: 'towpath.yaml line 1: no', next: 'mend the YAML' },
    ]);
    expect(of(findings, 'daemon')).toMatchObject([{ level: 'error', what: 'queue broke' }]);
    expect(of(findings, 'inotify').length).toBeGreaterThan(0);
  });

  it('tells a paused daemon, its faults, and a damaged ledger', async () => {
    putDaemon(workspace, { paused: 'disk is full', faults: [{ what: 'disk', since: 'x', doing: 'waits' }] });
    put(workspace.ledger, 'garbage'.repeat(1000));
    const findings = await doctor();
    expect(of(findings, 'daemon').map((one) => one.level)).toEqual(['ok', 'warn', 'error']);
    expect(of(findings, 'ledger')[0]).toMatchObject({ level: 'warn' });
  });

  it('knows low inotify limits and compares versions by number', () => {
    const dir = join(workspace.root, 'inotify');
    put(join(dir, 'max_user_watches'), '100\n');
    put(join(dir, 'max_user_instances'), '128\n');
    expect(inotifyFindings(dir)[0]).toMatchObject({
      level: 'warn',
      next: 'sysctl -w fs.inotify.max_user_watches=32768',
    });
    expect([atLeast('2.9.1', '2.31.0'), atLeast('2.31.0', '2.31.0'), atLeast('24.1.0', '22.22.0')]).toEqual([
      false,
      true,
      true,
    ]);
  });

  it('renders aligned, safe, and with a verdict', () => {
    const text = renderDoctor(
      [
        { area: 'node', level: 'ok', what: '24', next: '' },
        { area: 'agents', level: 'error', what: HOSTILE.repeat(4), next: HOSTILE },
      ],
      { width: 50 },
    );
    expect(text).toMatch(/^✓ node {4}24\n✗ agents {2}aredb/);
    expect(text).toMatch(/\n\n1 error$/);
    expect(text.includes(ESCAPE) || CONTROLS.test(text)).toBe(false);
  });
});

describe('doctor, of an agent that tells no cost', () => {
  const dear = async (settings: string, models: string[], more: Partial<Probe> = {}, told = false) => {
    put(join(workspace.root, 'towpath.yaml'), settings);
    const agents = [{ name: 'silent', probe: probe(more), costs: { told, models } }];
    const found = of(await doctor({ loaded: loadSettings(workspace, {}), agents }), 'agents');
    return found.filter((one) => one.level === 'warn').map(({ what, next }) => `${what} -> ${next}`);
  };
  const budget = 'agent: silent\nbudget: {day_usd: 5}\n';
  it('warns when a budget in USD is set and a model has no price', async () => {
    expect(await dear(budget, ['big', 'small'])).toEqual([
      'silent does not tell what it costs, and there is no price for big, small: budget.day_usd does not hold it -> write prices.big in towpath.yaml, or a budget in tokens',
    ]);
    expect(await dear(`${budget}prices: {big: {input: 1, output: 2}}\n`, ['acme/big', 'small'])).toEqual([
      expect.stringContaining('no price for small:'),
    ]);
    expect(await dear(budget, [])).toEqual([expect.stringContaining('no price for its own default model:')]);
    const own = 'agent: silent\nagents: {silent: {budget: {day_usd: 1}}}\n';
    expect(await dear(own, ['big'])).toEqual([
      expect.stringContaining('agents.silent.budget.day_usd does not hold it'),
    ]);
  });
  it('says nothing without such a budget, with a price, of one that tells, or that is not there', async () => {
    expect(await dear('agent: silent\nbudget: {day_tokens: 5}\n', ['big'])).toEqual([]);
    expect(await dear('agents: {other: {command: o, budget: {day_usd: 1}}}\nagent: silent\n', ['big'])).toEqual([]);
    expect(await dear(`${budget}prices: {big: {input: 1, output: 2}}\n`, ['big'])).toEqual([]);
    expect(await dear(budget, ['big'], {}, true)).toEqual([]);
    expect(await dear(budget, ['big'], { installed: false })).toEqual([]);
  });
});

describe('stats', () => {
  it('says that there is nothing, and else the sums', () => {
    const ledger = openLedger(workspace);
    expect(renderStats(ledger.stats())).toMatch(/^no runs yet/);
    const run = {
      at: new Date(NOW).toISOString(),
      event: 'attempt_finished' as const,
      task: 'a',
      reason: '',
      agent: HOSTILE,
      model: 'sonnet',
      role: 'implementer',
      duration_ms: 60_000,
      input: 1000,
      output: 2000,
      cache_read: 50_000,
      cache_write: 70_000,
    };
    ledger.record({ ...run, attempt: 1, outcome: 'check_failed', cost_usd: 0.5 });
    ledger.record({ ...run, attempt: 2, outcome: 'ok', cost_usd: null });
    ledger.record({ at: run.at, event: 'transition', task: 'a', from: 'provisional', to: 'done' });
    const day = { project: null, agent: null, spent: 3.1, reserved: 1.6, runs: 2 };
    const budgets = [
      { ...day, key: 'budget.day_usd', unit: 'usd' as const, limit: 50 },
      {
        ...day,
        key: 'agents.x.budget.day_tokens',
        agent: 'x',
        unit: 'tokens' as const,
        limit: 5000,
        spent: 4000,
        runs: 0,
      },
    ];
    const text = renderStats({ ...ledger.stats(), budgets }, { width: 160 });
    for (const words of [
      '2 runs, 50% ok, $0.50, 2m',
      '1 task done, 0 failed, $0.50 per accepted task',
      '1 run told no cost',
      'check_failed 1',
      'DAY',
      'AGENT',
      'ROLE',
      'MODEL',
      'ACCEPTED',
      '100k',
      'TO CACHE',
      '140k',
      'today: $3.10 of $50.00 spent, 2 runs reserve $1.60',
      'today, x: 4,000 tokens of 5,000 tokens used',
    ])
      expect(text).toContain(words);
    expect(text.includes(ESCAPE) || CONTROLS.test(text)).toBe(false);
    ledger.close();
  });
});

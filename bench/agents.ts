// What Towpath adds to each real agent CLI: the same scripted job run bare and by a daemon, in turns, on the same machine.
import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { AgentRegistry } from '../daemon/agents/registry.ts';
import { loadSettings } from '../daemon/config.ts';
import { findWorkspace } from '../daemon/paths.ts';
import { childEnv } from '../daemon/process/env.ts';
import { anthropic } from '../tests/fakes/anthropic-messages.ts';
import type { Dialect, Step, ToolUse } from '../tests/fakes/dialect.ts';
import { google } from '../tests/fakes/google-generate.ts';
import { startModelServer } from '../tests/fakes/model-server.ts';
import { openaiChat } from '../tests/fakes/openai-chat.ts';
import { responses } from '../tests/fakes/openai-responses.ts';
import { CLIS, OPENCODE_OFFLINE } from '../tests/helpers/clis.ts';
import { percentile, rssMb, until, wallMs } from './measure.ts';
import type { Row } from './table.ts';
import { makeRepo, Towpath, tempDir } from './workspace.ts';

const ROUNDS = 5;
/** What a run may take on top of the bare CLI. */
const TARGET = 1.03;

interface Subject {
  name: string;
  dialect: Dialect;
  /** Settings of the agent in towpath.yaml, as JSON; `url` is the model server's. */
  settings(url: string): object;
  /** Variables of daemon and bare CLI alike. */
  env(url: string): Record<string, string>;
  /** Files in its home. */
  home?(url: string): Record<string, string>;
  tool(command: string): ToolUse;
}

const SUBJECTS: readonly Subject[] = [
  {
    name: 'claude',
    dialect: anthropic,
    settings: () => ({ agents: { claude: { command: [CLIS.claude], models: { senior: 'claude-sonnet-4-5' } } } }),
    env: (url) => ({ ANTHROPIC_BASE_URL: url, ANTHROPIC_API_KEY: 'not-a-key' }),
    tool: (command) => ({ name: 'Bash', input: { command, description: 'a step' } }),
  },
  {
    name: 'codex',
    dialect: responses,
    settings: () => ({ agents: { codex: { command: [CLIS.codex] } } }),
    env: () => ({ CODEX_API_KEY: 'not-a-key' }),
    home: (url) => ({
      '.codex/config.toml': `model = "gpt-5.5"\nmodel_provider = "fake"\nmodel_providers.fake = {name="fake", base_url="${url}/v1", env_key="CODEX_API_KEY", wire_api="responses"}\n`,
    }),
    tool: (cmd) => ({ name: 'exec_command', input: { cmd } }),
  },
  {
    name: 'gemini',
    dialect: google,
    settings: () => ({ agents: { gemini: { command: [CLIS.gemini] } } }),
    env: (url) => ({ GEMINI_API_KEY: 'not-a-key', GOOGLE_GEMINI_BASE_URL: url }),
    tool: (command) => ({ name: 'run_shell_command', input: { command, description: 'a step' } }),
  },
  {
    name: 'opencode',
    dialect: openaiChat,
    settings: () => ({
      agents: { opencode: { command: [CLIS.opencode], models: { senior: 'lab/m1' }, env: OPENCODE_OFFLINE } },
    }),
    env: () => ({}),
    home: (url) => ({
      '.config/opencode/opencode.json': JSON.stringify({
        provider: {
          lab: {
            npm: '@ai-sdk/openai-compatible',
            name: 'lab',
            options: { baseURL: `${url}/v1`, apiKey: 'not-a-key' },
            models: { m1: {} },
          },
        },
      }),
    }),
    tool: (command) => ({ name: 'bash', input: { command, description: 'a step' } }),
  },
  {
    name: 'api',
    dialect: openaiChat,
    settings: (url) => ({
      agents: { api: { models: { senior: 'm1' } } },
      endpoints: [{ name: 'lab', base_url: `${url}/v1`, models: ['m1'], slots: 4 }],
    }),
    env: () => ({}),
    tool: (command) => ({ name: 'run_command', input: { command } }),
  },
];

/** The bare CLI: started as its adapter says, its output in files, its end awaited. Wall time and the most memory, ms and MB. */
async function bare(
  place: Towpath,
  env: Record<string, string>,
  agent: string,
  repo: string,
): Promise<[number, number]> {
  const workspace = findWorkspace(place.root);
  const { settings } = loadSettings(workspace, {});
  const chosen = new AgentRegistry(settings, workspace).get(agent);
  const run_dir = tempDir();
  const [model = null] = [chosen.settings.models.senior ?? chosen.agent.models.senior];
  const launch = chosen.agent.launch(
    {
      ...{
        task_id: 'bare',
        attempt: 1,
        prompt: PROMPT,
        system_prompt: 'You implement.',
        body: '',
        model,
        worktree: repo,
      },
      ...{ session: null, new_session: randomUUID(), timeout_s: 60, mcp: {}, skills: [], output_schema: null },
      ...{ endpoints: settings.endpoints, max_turns: null, budget_usd: null, run_dir },
    },
    chosen.settings,
  );
  const stdin = join(run_dir, 'in');
  writeFileSync(stdin, launch.stdin);
  const fds = [openSync(stdin, 'r'), openSync(join(run_dir, 'out'), 'w'), openSync(join(run_dir, 'err'), 'w')];
  const began = wallMs();
  const child = spawn(launch.argv[0]!, launch.argv.slice(1), {
    ...{ cwd: repo, stdio: fds as [number, number, number] },
    env: { ...launch.env, ...childEnv({ allow: chosen.agent.env, from: env }) },
  });
  const exit = new Promise<number | null>((done) => child.once('exit', done));
  const peak = watchMemory(child.pid!);
  const code = await exit;
  const ms = wallMs() - began;
  for (const fd of fds) closeSync(fd);
  if (code !== 0)
    throw new Error(`${agent} ended with ${code}: ${readFileSync(join(run_dir, 'err'), 'utf8').slice(-500)}`);
  return [ms, peak()];
}

function watchMemory(pid: number): () => number {
  let peak = 0;
  const timer = setInterval(() => {
    try {
      peak = Math.max(peak, rssMb(pid));
    } catch {
      // It is gone.
    }
  }, 20);
  return () => {
    clearInterval(timer);
    return peak;
  };
}

const PROMPT = 'Write hello.txt.';

async function measure(subject: Subject): Promise<Row[]> {
  const steps: Step[] = [
    { text: 'I write it.', tools: [subject.tool('echo hello > hello.txt; git status --short')] },
    { text: 'Written.' },
  ];
  let calls = 0;
  const model = await startModelServer(() => steps[calls++ % steps.length]!, [subject.dialect]);
  const home = tempDir();
  for (const [name, text] of Object.entries(subject.home?.(model.url) ?? {})) {
    mkdirSync(join(home, name, '..'), { recursive: true });
    writeFileSync(join(home, name), text);
  }
  const repo = tempDir();
  makeRepo(repo);
  const place = new Towpath(
    JSON.stringify({ agent: subject.name, repo, concurrency: 1, ...subject.settings(model.url) }),
  );
  const env = { ...process.env, ...subject.env(model.url), HOME: home } as Record<string, string>;
  // Adapters look for logins in the home of their own process.
  const { HOME: ownHome } = process.env;
  process.env['HOME'] = home;
  try {
    await place.start(env);
    const runs: number[] = [];
    const whole: number[] = [];
    const floors: number[] = [];
    const memory: number[] = [];
    let own = 0;
    for (let n = 0; n <= ROUNDS; n++) {
      calls = 0;
      const bareRepo = tempDir();
      makeRepo(bareRepo);
      const [ms, mb] = await bare(place, env, subject.name, bareRepo);
      calls = 0;
      const drop = place.stage(`t${n}`, `# A task\n\n${PROMPT}\n`);
      await sleep(300);
      const began = drop();
      await until(() => existsSync(place.path('queues/done', `t${n}.md`)), `${subject.name} t${n} is done`, 60_000, 5);
      // The first of each is to warm up.
      if (n === 0) continue;
      whole.push(wallMs() - began);
      floors.push(ms);
      memory.push(mb);
      own = Math.max(own, rssMb(place.pid));
      const verdict = JSON.parse(readFileSync(place.path('.towpath/runs', `t${n}`, '1/verdict.json'), 'utf8')) as {
        duration_ms: number;
      };
      runs.push(verdict.duration_ms);
    }
    const [run, all, floor] = [runs, whole, floors].map((values) => percentile(values, 50)) as [number, number, number];
    const rss = percentile(memory, 50);
    return [
      row(`${subject.name}: run, p50 of ${ROUNDS}`, run, floor, TARGET),
      row(`${subject.name}: drop to done`, all, floor, null),
      {
        what: `${subject.name}: memory with the daemon's own`,
        figure: `${(rss + own).toFixed(0)} MB`,
        floor: `${rss.toFixed(0)} MB`,
        ratio: ((rss + own) / rss).toFixed(2),
        target: '',
        met: null,
      },
    ];
  } finally {
    process.env['HOME'] = ownHome;
    await place.stop();
    await model.close();
  }
}

const row = (what: string, ms: number, floor: number, target: number | null): Row => ({
  what,
  figure: `${ms.toFixed(0)} ms`,
  floor: `${floor.toFixed(0)} ms`,
  ratio: (ms / floor).toFixed(2),
  target: target === null ? '' : `${target} × floor`,
  met: target === null ? null : ms / floor <= target,
});

export async function agents(): Promise<Row[]> {
  const rows: Row[] = [];
  const wanted = process.env['BENCH_AGENTS']?.split(',');
  for (const subject of SUBJECTS.filter(({ name }) => wanted?.includes(name) ?? true))
    rows.push(...(await measure(subject)));
  return rows;
}

// Runs a real agent CLI just as its adapter says, in a folder of its own, against a scripted model on loopback.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { closeSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Agent, AgentEvent, AgentRequest, AgentSettings, HandedSkill, Verdict } from '../../daemon/agents/port.ts';
import type { Dialect } from '../fakes/dialect.ts';
import { type ModelServer, type Script, startModelServer } from '../fakes/model-server.ts';

export const SETTINGS: AgentSettings = {
  ...{ args: [], env: {}, models: {}, permissions: 'full', wrap: [], input: 'json', limits: 'on', budget: {} },
};

/** A request with nothing special about it; `worktree` and `run_dir` are for the caller to say. */
export const blankRequest = (over: Partial<AgentRequest> = {}): AgentRequest => ({
  ...{ task_id: 't', attempt: 1, prompt: 'Write hello.txt', system_prompt: 'You are careful.', body: '' },
  ...{ model: null, worktree: '', session: null, new_session: randomUUID(), timeout_s: 60, mcp: {}, endpoints: [] },
  ...{ output_schema: null, skills: [], max_turns: null, budget_usd: null, run_dir: '' },
  ...over,
});

export interface Ran {
  verdict: Verdict;
  code: number | null;
  signal: string | null;
  events: AgentEvent[];
  openTools: number;
  finished: boolean;
  hopeless: boolean;
  ms: number;
  stderr: string;
}

export interface RunHow {
  request?: Partial<AgentRequest>;
  settings?: Partial<AgentSettings>;
  /** Variables beside the common ones; undefined takes one away. */
  env?: Record<string, string | undefined>;
  /** Something to do while it runs: wait for a state, then send a signal. */
  after?: (child: ChildProcess, stdout: string) => Promise<void>;
  /** Ends it once its reader says that it only waits out a limit, as the daemon does. */
  endHopeless?: boolean;
}

/** One CLI with a home, a repository and a scripted model of its own. */
export class CliBench {
  readonly root: string;
  readonly repo: string;
  readonly home: string;
  readonly model: ModelServer;
  readonly #agent: Agent;
  readonly #command: string[];
  /** Variables of each run: keys, base URLs. */
  env: Record<string, string> = {};
  #runs = 0;

  private constructor(root: string, model: ModelServer, agent: Agent, command: string[]) {
    this.root = root;
    this.repo = join(root, 'repo');
    this.home = join(root, 'home');
    this.model = model;
    this.#agent = agent;
    this.#command = command;
  }

  static async open(agent: Agent, command: string[], dialects: Dialect[]): Promise<CliBench> {
    const root = await mkdtemp(join(tmpdir(), `towpath-${agent.name}-`));
    for (const dir of ['home', 'tmp', 'repo']) mkdirSync(join(root, dir));
    execFileSync('git', ['init', '-q', '-b', 'main', join(root, 'repo')]);
    return new CliBench(root, await startModelServer([], dialects), agent, command);
  }

  async close(): Promise<void> {
    await this.model.close();
    await rm(this.root, { recursive: true, force: true, maxRetries: 5 });
  }

  /** Starts it with the argv, the stdin and the variables of `launch`, and an environment of no more than the allowed names. */
  async run(script: Script, how: RunHow = {}): Promise<Ran> {
    this.model.play(script);
    const request = blankRequest({
      worktree: this.repo,
      run_dir: join(this.root, `run-${this.#runs++}`),
      ...how.request,
    });
    const { run_dir } = request;
    mkdirSync(run_dir, { recursive: true });
    const launch = this.#agent.launch(request, { ...SETTINGS, command: this.#command, ...how.settings });
    // What the daemon lets through wins over what the adapter asks for, as in a run.
    const env: Record<string, string | undefined> = {
      ...launch.env,
      ...{ PATH: process.env['PATH'], HOME: this.home, LANG: 'C.UTF-8', TERM: 'dumb', TMPDIR: join(this.root, 'tmp') },
      ...this.env,
      ...how.env,
    };
    for (const [name, value] of Object.entries(env)) if (value === undefined) delete env[name];
    const files = ['stdout', 'stderr'].map((name) => join(run_dir, name)) as [string, string];
    const [out, err] = files.map((path) => openSync(path, 'a')) as [number, number];
    const started = Date.now();
    const child = spawn(launch.argv[0]!, launch.argv.slice(1), {
      ...{ cwd: this.repo, env: env as NodeJS.ProcessEnv, stdio: ['pipe', out, err], detached: true },
    });
    closeSync(out);
    closeSync(err);
    child.stdin!.on('error', () => {}).end(launch.stdin);
    const ended = new Promise<[number | null, string | null]>((done) => child.once('exit', (...it) => done(it)));
    if (how.endHopeless) await this.#endHopeless(child, files);
    await how.after?.(child, files[0]);
    const [code, signal] = await ended;
    // What a tool or a launcher left: it is of this run alone, since the run leads a group.
    try {
      process.kill(-child.pid!, 'SIGKILL');
    } catch {
      // Nothing was left.
    }
    const reader = this.#agent.reader();
    const events = this.#read(reader, files);
    const stderr = readFileSync(files[1], 'utf8');
    const verdict = reader.conclude({ code, signal, stderr: stderr.slice(-65_536), stdout: '' });
    const { openTools, finished, hopeless = false } = reader;
    return { verdict, code, signal, events, openTools, finished, hopeless, ms: Date.now() - started, stderr };
  }

  #read(reader: ReturnType<Agent['reader']>, [stdout, stderr]: [string, string]): AgentEvent[] {
    const lines = (path: string) => readFileSync(path, 'utf8').split('\n');
    const told = reader.errorLine ? lines(stderr).flatMap((line) => reader.errorLine!(line)) : [];
    return [...told, ...lines(stdout).flatMap((line) => reader.line(line))];
  }

  async #endHopeless(child: ChildProcess, files: [string, string]): Promise<void> {
    while (child.exitCode === null && child.signalCode === null) {
      const reader = this.#agent.reader();
      this.#read(reader, files);
      if (reader.hopeless) return void process.kill(-child.pid!, 'SIGTERM');
      await new Promise((done) => setTimeout(done, 50));
    }
  }
}

/** A skill as a run hands it over, with a file beside it. */
export function handSkill(run_dir: string): HandedSkill & { file: string; beside: string } {
  const dir = join(run_dir, 'skills', 'tidy');
  mkdirSync(dir, { recursive: true });
  const [file, beside] = [join(dir, 'SKILL.md'), join(dir, 'order.md')];
  writeFileSync(file, '---\nname: tidy\ndescription: "how to tidy up here"\n---\n\nSweep first: see order.md.\n');
  writeFileSync(beside, 'From the top to the bottom.\n');
  return { name: 'tidy', description: 'how to tidy up here', dir, file, beside };
}

/** Polls until something is so. The caller's test has the time-out. */
export const until = async (ready: () => boolean): Promise<void> => {
  while (!ready()) await new Promise((done) => setTimeout(done, 25));
};

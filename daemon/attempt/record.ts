// What is written down of a run in its folder: how it was begun, and what it came to.
import { join } from 'node:path';
import type { AgentRequest, Verdict } from '../agents/port.ts';
import type { RunReport } from '../agents/run.ts';
import type { TaskSpec } from '../task/terms.ts';
import { readJson } from './work.ts';

/** `run.json`: written before the agent is started, so that a restart finds it by its marker and knows what was asked. */
export interface RunRecord {
  marker: string;
  started_at: string;
  /** The same moment on the clock that nobody sets: what the time-outs go by after a restart. */
  clock?: { boot_id: string; ms: number };
  agent: string;
  model: string | null;
  role: string;
  session: string | null;
  /** A QUESTION.md lay in the worktree before the agent came. */
  had_question?: boolean;
  /** The front matter as it was when it was claimed: its result is judged by that, whatever the file says meanwhile. */
  spec?: TaskSpec;
  /** Without the prompt and the body, which have files of their own. */
  request?: Omit<AgentRequest, 'prompt' | 'body'>;
}

/** `verdict.json`: written once the agent has ended; from then on the run is never executed again. */
export interface RunVerdict {
  verdict: Verdict;
  ended: RunReport['ended'];
  /** What there is to say of that. */
  why?: string;
  lost: boolean;
  /** It went on with an earlier session. */
  resumed: boolean;
  duration_ms: number;
  health: RunReport['health'];
}

/** The files that a review or a fix changed in its own worktree, where it changed any. */
export const DISCARDED_FILE = 'discarded.json';

export const readVerdict = (dir: string): RunVerdict | null => readJson<RunVerdict>(join(dir, 'verdict.json'));
export const readRun = (dir: string): RunRecord | null => readJson<RunRecord>(join(dir, 'run.json'));

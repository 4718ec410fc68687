// What the reviews, the tests and the patches of a task came to: found by what was privately written down when they were filed, read from their runs.
import { join } from 'node:path';
import { DISCARDED_FILE } from '../../attempt/record.ts';
import { readJson } from '../../attempt/work.ts';
import { filedBy, helpOf } from '../../queue/files/subtasks.ts';
import { REVIEW_SCHEMA, type Verdict, verdictOf } from '../../task/review.ts';
import type { Queue } from '../../task/terms.ts';
import { TEST_SCHEMA, testedOf } from '../../task/test.ts';
import { bySchema, type End, endOf, type Place, runOf } from './helper.ts';
import { allKept, type Kept } from './kept.ts';

/** One review of a result, or its tests; open or over. */
export interface Opinion {
  id: string;
  kind: 'review' | 'test';
  role: string;
  /** The run that it is about, and what that made. */
  attempt: number;
  commit: string | null;
  /** null: its file is nowhere. */
  queue: Queue | null;
  /** null: it is not over. One that failed is a rejection; tests that passed accept it. */
  verdict: Verdict['verdict'] | null;
  summary: string;
  findings: Verdict['findings'];
  /** Files that a reviewer changed; nothing of that is kept. */
  discarded: string[];
  /** Files that a tester left on the branch. */
  files: string[];
  cost_usd: number | null;
}

/** All reviews and tests of a task, also those of earlier runs, the oldest first. */
export async function opinionsOn(place: Place, id: string): Promise<Opinion[]> {
  const filed = (['test', 'review'] as const).flatMap((kind) => filedBy(place.workspace, id, kind));
  const all = await Promise.all(filed.map((one) => opinion(place, id, one)));
  return all.filter((one) => one !== null).sort((a, b) => a.attempt - b.attempt);
}

async function opinion({ workspace, queue }: Place, parent: string, id: string): Promise<Opinion | null> {
  const about = helpOf(workspace, id);
  if (!about || about.kind === 'fix' || about.parent !== parent) return null;
  const task = await queue.get(id);
  const { kind, role, attempt, commit } = about;
  const discarded = task ? readJson<string[]>(join(workspace.run(id, runOf(task)), DISCARDED_FILE)) : null;
  const kept = allKept({ workspace }, parent)[id] ?? {};
  const said =
    kind === 'test'
      ? tests(endOf({ workspace }, id, task, bySchema(TEST_SCHEMA)), kept)
      : verdict(endOf({ workspace }, id, task, bySchema(REVIEW_SCHEMA)));
  return {
    ...{ id, kind, role, attempt, commit },
    ...{ queue: task?.queue ?? null, cost_usd: task?.state.cost_usd ?? null },
    ...{ discarded: discarded ?? [], files: kept.files ?? [] },
    ...said,
  };
}

const OPEN = { verdict: null, summary: '', findings: [] };

function verdict(end: End): Pick<Opinion, 'verdict' | 'summary' | 'findings'> {
  if (end === null) return OPEN;
  return 'value' in end
    ? verdictOf(end.value)
    : { verdict: 'reject', summary: `no verdict: ${end.problem}`, findings: [] };
}

/** It is not the tester's word that counts, but what came of it. */
function tests(end: End, { outcome, reason }: Kept): Pick<Opinion, 'verdict' | 'summary' | 'findings'> {
  if (end && 'problem' in end) return { verdict: 'reject', summary: `no evidence: ${end.problem}`, findings: [] };
  if (end === null || outcome === undefined) return OPEN;
  const { summary, findings } = testedOf(end.value);
  if (outcome === 'refused') return { verdict: 'reject', summary: `no evidence: ${reason}`, findings };
  return { verdict: outcome === 'passed' ? 'accept' : 'reject', summary, findings };
}

/** One patch for failed checks, and what came of it. */
export interface Patch {
  id: string;
  /** The run whose result failed. */
  attempt: number;
  /** null: it is not tried yet. */
  outcome: 'helped' | 'rolled_back' | 'refused' | null;
  reason: string;
  /** Files that it changed, where it helped. */
  files: string[];
  cost_usd: number | null;
}

/** All patches for a task, also those of earlier runs, the oldest first. */
export async function patchesOf({ workspace, queue }: Place, id: string): Promise<Patch[]> {
  const kept = allKept({ workspace }, id);
  const all = filedBy(workspace, id, 'fix').map(async (one): Promise<Patch | null> => {
    const about = helpOf(workspace, one);
    if (about?.kind !== 'fix' || about.parent !== id) return null;
    const { outcome = null, reason = '', files = [] } = kept[one] ?? {};
    const cost_usd = (await queue.get(one))?.state.cost_usd ?? null;
    return { id: one, attempt: about.attempt, outcome: outcome as Patch['outcome'], reason, files, cost_usd };
  });
  const found = (await Promise.all(all)).filter((one) => one !== null);
  return found.sort((a, b) => a.attempt - b.attempt);
}

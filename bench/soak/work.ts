// What the soak hauls: kinds of tasks, the scripted agent that plays them, and what each must come to.
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Towpath } from '../workspace.ts';
import { pick, type Random } from './random.ts';

interface Kind {
  /** So many of a hundred. */
  share: number;
  /** Front matter beside what all have. `{after}` is the id of an earlier task. */
  front: string;
  ends: 'done' | 'failed' | 'refused';
  /** How often its agent may say that the work is done. */
  good: readonly [least: number, most: number];
}

const MINOR = 'complexity: minor\nrepo: {lane}\n';
const done = { ends: 'done', good: [1, 1] } as const;

export const KINDS: Record<string, Kind> = {
  ok: { ...done, share: 46, front: MINOR },
  // With a worktree and a branch of its own; and in the user's tree, landed by a commit.
  work: { ...done, share: 8, front: 'repo: project\n' },
  land: { ...done, share: 4, front: 'complexity: minor\nrepo: project\nexpect: changes\n' },
  // Fails once; fails always; is silent for a while; hangs once until its time is over; floods its output.
  fail: { ...done, share: 4, front: MINOR },
  broken: { share: 2, front: MINOR, ends: 'failed', good: [0, 0] },
  hang: { ...done, share: 6, front: MINOR },
  late: { ...done, share: 1, front: `${MINOR}timeout: 2s\n` },
  flood: { ...done, share: 2, front: MINOR },
  // Asks a person; is rate limited once; asks to try later once (exit 75).
  ask: { ...done, share: 1, front: MINOR },
  limit: { ...done, share: 1, front: `agent: limited\n${MINOR}` },
  busy: { ...done, share: 2, front: MINOR },
  // A check fails once: the work is done twice, or once when the check was cut off after it had said no.
  check: { share: 4, front: `${MINOR}checks: [[{side}/check.sh]]\n`, ends: 'done', good: [1, 2] },
  after: { ...done, share: 6, front: `${MINOR}depends_on: [{after}]\n` },
  bad: { share: 3, front: `${MINOR}priority: P9\n`, ends: 'refused', good: [0, 0] },
  // Judged by an agent (one that is killed says no); mended by the patch of another; divided in two parts, which are joined; merged.
  review: { share: 3, front: 'repo: project\nreview: agent\n', ends: 'done', good: [1, 9] },
  mend: {
    share: 3,
    front: 'repo: project\nfix: patch\nchecks: [[grep, -q, mended, mended.txt]]\n',
    ends: 'done',
    good: [1, 9],
  },
  divide: { ...done, share: 2, front: 'repo: project\nrole: breakdown\n' },
  merge: { share: 2, front: 'repo: project\non_accept: merge\n', ends: 'done', good: [1, 9] },
};
const HUNDRED = Object.entries(KINDS).flatMap(([name, { share }]) => Array<string>(share).fill(name));
/** Dropped once a second, with a slot and a folder that nobody else takes: what is measured is the daemon. */
const PROBE: Kind = { ...done, share: 0, front: 'agent: probe\ncomplexity: minor\nrepo: quiet\npriority: P0\n' };

export const kindOf = (id: string): Kind => KINDS[id.split('-')[0]!] ?? PROBE;

const LANES = Array.from({ length: 8 }, (_, n) => `lane-${n}`);
const AGENT = '[./agent.sh]';
export const SETTINGS = `agent: bot
concurrency: {total: 7, agents: {bot: 5, limited: 1, probe: 1}}
retry: {initial: 100ms, max: 1s, max_attempts: 10}
limits: {disk_free: 0MB, run_output: 1MB}
agents: {bot: {command: ${AGENT}}, limited: {command: ${AGENT}}, probe: {command: ${AGENT}}}
`;

/** The id of a task that was filed for another, by its plan or its gate, begins with the id of that one. */
export const filedFor = (id: string): string | null => /^(.*?)\./.exec(id)?.[1] ?? null;

const answer = (output: object) =>
  `say '${JSON.stringify({ type: 'result', success: true, output: JSON.stringify(output) })}'`;
const ACCEPT = answer({ verdict: 'accept', summary: 'so it is', findings: [] });
const PATCH = answer({ patch: '--- /dev/null\n+++ b/mended.txt\n@@ -0,0 +1 @@\n+mended\n', why: 'it was not there' });
export const PARTS = ['one', 'two'];
const PLAN = answer({ summary: 'In two.', subtasks: PARTS.map((id) => ({ id, title: id, body: 'Do it.' })) });

/** Writes down beside the workspace when it begins and when its work is done: `start|good ID RUN PID NS`. */
const script = (side: string) => `#!/bin/sh
id=$TOWPATH_TASK_ID
note() { echo "$1 $id $TOWPATH_ATTEMPT $$ $(date +%s%N)" >>${side}/ledger; }
once() { [ ! -e ${side}/once/$id ] && : >${side}/once/$id; }
# A full disk is no fault of the task: what cannot be written now is written later.
say() { printf '%s\\n' "$1" 2>/dev/null || until printf '\\n%s\\n' "$1" 2>/dev/null; do sleep 0.2; done; }
make() { until echo "$id" 2>/dev/null >"$1"; do sleep 0.2; done; }
note start
case $id in
*.review-*) ${ACCEPT}; note good; exit 0 ;;
*.fix-*) ${PATCH}; note good; exit 0 ;;
divide-*.*) make made-$id.txt ;;
divide-*) ${PLAN}; note good; exit 0 ;;
review-* | mend-* | merge-*) make made-$id.txt ;;
work-*) make made-$id.txt ;;
land-*) make made-$id.txt; sleep 0.1 ;;
fail-*) once && { say 'it does not work yet'; echo 'not yet' >&2; exit 1; } ;;
broken-*) echo 'it never works' >&2; exit 1 ;;
hang-*) sleep 1 ;;
late-*) once && sleep 60 ;;
flood-*) head -c 1500000 /dev/zero | tr '\\0' 'x' 2>/dev/null; say ''; seq 1 20000 2>/dev/null ;;
ask-*) [ -e ${side}/answered/$id ] || { say '{"type":"question","content":"Which way?"}'; exit 0; } ;;
limit-*) once && { say '{"type":"error","outcome":"rate_limited","content":"full","retry_after":"3s"}'; exit 1; } ;;
busy-*) once && exit 75 ;;
esac
say '{"type":"result","success":true,"output":"done"}'
note good
`;
const check = (side: string) => `#!/bin/sh
[ -e ${side}/once/$TOWPATH_TASK_ID ] && exit 0
: >${side}/once/$TOWPATH_TASK_ID
exit 1
`;

/** Folders and programs. `side` lies on another disk: what is written there stays when the workspace is full. */
export function furnish(place: Towpath, side: string): void {
  for (const name of ['once', 'answered']) mkdirSync(join(side, name));
  writeFileSync(join(side, 'ledger'), '');
  writeFileSync(join(side, 'check.sh'), check(side));
  chmodSync(join(side, 'check.sh'), 0o755);
  place.file('agent.sh', script(side), 0o755);
  for (const lane of [...LANES, 'quiet']) mkdirSync(place.path(lane));
}

/** Task number n: its id and its file. */
export function task(n: number, next: Random, side: string, earlier: readonly string[]): { id: string; text: string } {
  const kind = pick(next, HUNDRED);
  const name = kind === 'after' && earlier.length === 0 ? 'ok' : kind;
  return text(`${name}-${n}`, next, side, pick(next, earlier) ?? '');
}

export const probe = (n: number, next: Random, side: string) => text(`probe-${n}`, next, side, '');

function text(id: string, next: Random, side: string, after: string): { id: string; text: string } {
  const front = kindOf(id).front.replace('{lane}', pick(next, LANES)).replace('{side}', side).replace('{after}', after);
  return { id, text: `---\n${front}# nobody may touch this line\n---\n# ${id}\n\nDo it.\n` };
}

/** One line of what agents wrote down of themselves. */
export interface Note {
  what: 'start' | 'good';
  id: string;
  run: number;
  pid: number;
  ms: number;
}

export function parseNote(line: string): Note {
  const [what = '', id = '', run, pid, ns = '0'] = line.split(' ');
  return {
    what: what === 'good' ? 'good' : 'start',
    id,
    run: Number(run),
    pid: Number(pid),
    ms: Number(BigInt(ns) / 1000n) / 1000,
  };
}

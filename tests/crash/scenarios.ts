// The worlds that are crashed: small ones, so that a sweep over every call is quick; together they pass through every phase.
import { readdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Made, World } from './world.ts';

export interface Scenario extends Made {
  name: string;
  /** Brings the fresh world to where the swept command begins, once. */
  prepare?: (world: World) => Promise<unknown>;
  /** Done anew before each case: what a copy of the world would lose. */
  fresh?: (world: World) => void;
  /** What is killed; `start --drain` unless it says otherwise. A command may also have been killed before it did anything. */
  command?: string[] | ((world: World) => string[]);
  /** Its files in incoming are left as young as they are. */
  unsettled?: boolean;
}

const log = (what: string) =>
  `echo "${what} $TOWPATH_TASK_ID $TOWPATH_ATTEMPT $$ $(date +%s%N)" >> "$TOWPATH_WORKSPACE/../ledger"`;

/** A task of the shell agent that tells in the ledger when it begins and ends. */
export const work = (script: string, frontmatter = ''): string =>
  `---\n# the user's own words\nagent: shell\n${frontmatter}note: "kept  as it is"   # too\n---\n# A task\n\n\`\`\`sh\n${log('start')}\ntrap '${log('end')}' EXIT\n${script}\n\`\`\`\n\nLast words without a newline`;

const SETTINGS = 'agent: shell\nretry: {initial: 50ms}\nconcurrency: 2\n';
const hook = (body = '') => `#!/bin/sh\n${body}\nexit 0\n`;
const drained = (world: World) => world.drain();
/** Both wait for the train. */
const accepted =
  (...ids: string[]) =>
  async (world: World) => {
    await world.drain();
    for (const id of ids) await world.run(['accept', id]);
  };
const review = (id: string, more = '') => ({
  [id]: work('echo "$TOWPATH_ATTEMPT" > made.txt', `review: human\n${more}`),
});

/** What an agent prints at its end. */
const answer = (value: object) => JSON.stringify({ type: 'result', success: true, output: JSON.stringify(value) });

/** A fixer whose patch helps one task and not the other. */
const MENDER = {
  settings: `${SETTINGS}fix: patch\nagents: {mender: {command: [./mender], input: prompt}}\n`,
  files: {
    'roles/fixer.md': '---\nagent: mender\n---\nYou mend.\n',
    mender: `#!/bin/sh\ncat > /dev/null\n${log('start')}\nfile=\${TOWPATH_TASK_ID%%.*}.txt\ncase $file in good*) to=good;; *) to=worse;; esac\nprintf '{"type":"result","success":true,"output":"{\\\\"patch\\\\":\\\\"--- a/%s\\\\\\\\n+++ b/%s\\\\\\\\n@@ -1 +1 @@\\\\\\\\n-bad\\\\\\\\n+%s\\\\\\\\n\\\\",\\\\"why\\\\":\\\\"so\\\\"}"}\\n' $file $file $to\n${log('end')}\n`,
  },
};

/** Two subtasks, one after the other. */
const DIVISION = {
  summary: 'so',
  subtasks: ['one', 'two'].map((id, at) => ({
    ...{ id, title: id, role: null, seniority: null, priority: null },
    body: `\`\`\`sh\n${log('start')}\ntrap '${log('end')}' EXIT\necho ${id} > ${id}\n\`\`\``,
    ...{ depends_on: at > 0 ? ['one'] : [], checks: null },
  })),
};

export const SCENARIOS: Scenario[] = [
  {
    name: 'major',
    settings: `${SETTINGS}checks: ["test -e out"]\n`,
    hooks: { setup: hook(), pre_task: hook(), post_task: hook(), gate: hook() },
    tasks: { m: work('echo 1 > out; echo b >> src/a.txt') },
  },
  {
    name: 'minor',
    settings: `${SETTINGS}checks: ["test -e sub/out"]\n`,
    tasks: { n: work('mkdir -p sub; echo 1 > sub/out; echo b >> src/a.txt', 'complexity: minor\n') },
  },
  {
    name: 'retry',
    settings: SETTINGS,
    tasks: { r: work('echo "$TOWPATH_ATTEMPT" > out', 'checks: ["grep 3 out"]\n') },
  },
  {
    name: 'minor-retry',
    settings: SETTINGS,
    tasks: {
      r: work(
        'echo "$TOWPATH_ATTEMPT" > out; echo "$TOWPATH_ATTEMPT" >> src/a.txt',
        'complexity: minor\nchecks: ["grep 2 out"]\n',
      ),
    },
  },
  {
    name: 'fails',
    settings: SETTINGS,
    tasks: { f: work('echo "no $TOWPATH_ATTEMPT" >&2; echo "$TOWPATH_ATTEMPT" > part; exit 3', 'max_attempts: 2\n') },
  },
  {
    name: 'depends',
    settings: SETTINGS,
    tasks: { a: work('echo a > a', 'depends_on: [b]\n'), b: work('echo b > b') },
  },
  {
    name: 'refused',
    settings: SETTINGS,
    tasks: {
      bad: '---\npriority: P9\n---\n# Never read\n',
      odd: '---\nkey: [\n---\nbody\n',
    },
  },
  {
    name: 'held',
    settings: `${SETTINGS}agents: {asker: {command: [./asker]}}\n`,
    files: {
      asker: `#!/bin/sh\n${log('start')}\necho half > half\necho '{"type":"error","outcome":"needs_input","content":"which one?"}'\n${log('end')}\nexit 1\n`,
    },
    hooks: { pre_task: '#!/bin/sh\n[ "$TOWPATH_TASK_ID" = stopped ] && { echo no >&2; exit 4; }\nexit 0\n' },
    tasks: { stopped: work('true'), asks: '---\nagent: asker\n---\n# Which?\n' },
  },
  {
    name: 'asked',
    settings: SETTINGS,
    tasks: {
      q: work('echo half > half; echo "Which one?" > QUESTION.md'),
      'q-minor': work('echo half > half; echo "Which one?" > QUESTION.md', 'complexity: minor\n'),
    },
  },
  { name: 'review', settings: SETTINGS, tasks: { v: review('v')['v']! } },
  {
    name: 'reviewed',
    settings: `${SETTINGS}agents: {critic: {command: [./critic], input: prompt}}\n`,
    files: {
      'roles/reviewer.md': '---\nagent: critic\n---\nYou review.\n',
      critic: `#!/bin/sh\ncat > /dev/null\n${log('start')}\necho sly > sly.txt\nif grep -q 2 made.txt; then said=accept; else said=reject; fi\nprintf '{"type":"result","success":true,"output":"{\\\\"verdict\\\\":\\\\"%s\\\\",\\\\"summary\\\\":\\\\"so\\\\",\\\\"findings\\\\":[]}"}\\n' $said\n${log('end')}\n`,
    },
    tasks: { v: work('echo "$TOWPATH_ATTEMPT" > made.txt', 'review: agent\nchecks: ["test -e made.txt"]\n') },
  },
  ...['', 'complexity: minor\n'].map((minor) => ({
    ...{ name: minor ? 'mended-minor' : 'mended', ...MENDER },
    tasks: {
      good: work('echo bad > good.txt', `${minor}checks: ["grep -q good good.txt"]\n`),
      vain: work('echo bad > vain.txt', `${minor}checks: ["grep -q good vain.txt"]\nmax_attempts: 1\n`),
    },
  })),
  {
    name: 'tested',
    settings: `${SETTINGS}fix: patch_with_test\nagents: {prober: {command: [./prober], input: prompt}, mender: {command: [./mender], input: prompt}}\n`,
    files: {
      'roles/tester.md': '---\nagent: prober\n---\nYou test.\n',
      'roles/fixer.md': '---\nagent: mender\n---\nYou mend.\n',
      prober: `#!/bin/sh\ncat > /dev/null\n${log('start')}\necho 'grep good made.txt' > made.test\ncat <<'ANSWER'\n${answer({ summary: 'so', commands: [['sh', 'made.test']], findings: [] })}\nANSWER\n${log('end')}\n`,
      mender: `#!/bin/sh\ncat > /dev/null\n${log('start')}\ncat <<'ANSWER'\n${answer({
        ...{
          patch: '--- a/made.txt\n+++ b/made.txt\n@@ -1 +1 @@\n-bad\n+good\n',
          why: 'so',
          command: ['sh', 'own.test'],
        },
        test: '--- /dev/null\n+++ b/own.test\n@@ -0,0 +1 @@\n+grep -q good made.txt\n',
      })}\nANSWER\n${log('end')}\n`,
    },
    tasks: {
      back: work(
        '[ "$TOWPATH_ATTEMPT" = 2 ] && echo good > made.txt || echo vile > made.txt',
        'review: tester\nfix: none\n',
      ),
      mended: work('echo bad > made.txt', 'review: tester\n'),
    },
  },
  {
    name: 'schedule',
    settings: SETTINGS,
    // A year long the same task is due.
    files: {
      'schedules/y.md': work('echo y > y', 'schedule: {cron: "0 0 1 1 *", timezone: UTC}\n'),
    },
    fresh: (world) => {
      const entry = { rule: '0 0 1 1 * UTC', since: '2020-01-01T00:00:00Z', filing: null, last: null, skipped: null };
      writeFileSync(world.path('.towpath/schedules.json'), JSON.stringify({ y: entry }));
    },
  },
  {
    name: 'half',
    unsettled: true,
    settings: SETTINGS,
    // Written in place: it must be quiet for two seconds.
    fresh: (world) => writeFileSync(world.path('queues/incoming/h.md'), work('echo h > h')),
  },
  {
    name: 'by-hand',
    settings: SETTINGS,
    tasks: {
      ...review('yes'),
      ...review('yes-minor', 'complexity: minor\n'),
      again: work('[ "$TOWPATH_ATTEMPT" = 1 ] && exit 3\necho > again', 'max_attempts: 1\n'),
      later: work('echo > later', 'not_before: 2099-01-01\n'),
    },
    prepare: drained,
    fresh: (world) => {
      for (const [id, from, to] of [
        ['yes', 'provisional', 'done'],
        ['yes-minor', 'provisional', 'done'],
        ['again', 'failed', 'incoming'],
        ['later', 'incoming', 'failed'],
      ] as const)
        renameSync(world.path('queues', from, `${id}.md`), world.path('queues', to, `${id}.md`));
    },
  },
  {
    name: 'merge',
    settings: `${SETTINGS}on_accept: merge\nchecks: ["test -e made.txt -o -e other.txt"]\n`,
    tasks: { ...review('v'), w: work('echo w > other.txt; echo w >> src/a.txt', 'review: human\n') },
    prepare: accepted('v', 'w'),
  },
  {
    // The second makes it too many: halves are tried, the first is merged, the second goes back, the third rides again and goes back too.
    name: 'merge-bisect',
    settings: `${SETTINGS.replace('50ms', '50ms, max_attempts: 2')}on_accept: merge\nchecks: ["test $(ls part-* | wc -l) -lt 2"]\n`,
    tasks: Object.fromEntries(
      ['a', 'b', 'c'].map((id) => [id, work(`echo "$TOWPATH_ATTEMPT" > part-${id}`, 'review: human\n')]),
    ),
    prepare: accepted('a', 'b', 'c'),
  },
  {
    name: 'pr',
    settings: `${SETTINGS}on_accept: pr\npr: {command: [./gh, create], status: [./gh, view]}\n`,
    // A second request is refused.
    files: {
      gh: '#!/bin/sh\ncd ignored\nif [ "$1" = view ]; then cat state 2>/dev/null || echo \'{"state":"NONE"}\'; exit; fi\n[ -e made ] && exit 1\necho \'{"state":"OPEN","url":"https://x/1"}\' > new; mv new state; touch made; echo https://x/1\n',
    },
    tasks: review('v'),
    prepare: async (world) => {
      const remote = world.path('ignored/remote.git');
      world.git('init', '-q', '--bare', remote);
      world.git('remote', 'add', 'origin', remote);
      await accepted('v')(world);
    },
  },
  {
    name: 'merge-conflict',
    settings: `${SETTINGS}on_accept: merge\n`,
    tasks: { ...review('v') },
    prepare: async (world) => {
      await drained(world);
      world.write('made.txt', 'by hand\n');
      world.git('add', 'made.txt');
      world.git('commit', '-q', '-m', 'by hand');
      await world.run(['accept', 'v']);
    },
  },
  ...verb('accept', review('v'), ['accept', 'v']),
  ...verb('accept-minor', review('v', 'complexity: minor\n'), ['accept', 'v']),
  ...verb('reject', review('v'), ['reject', 'v', '-m', 'not so']),
  ...verb('cancel', review('v'), ['cancel', 'v']),
  ...verb('cancel-waiting', { v: work('true', 'not_before: 2099-01-01\n') }, ['cancel', 'v']),
  ...verb('pause', { v: work('true', 'not_before: 2099-01-01\n') }, ['pause', 'v']),
  ...verb('retry-failed', { v: work('[ "$TOWPATH_ATTEMPT" = 1 ] && exit 3\necho > v', 'max_attempts: 1\n') }, [
    'retry',
    'v',
  ]),
  ...verb('resolve', { v: work('echo > v') }, ['resolve', 'v', 'skip'], { pre_task: '#!/bin/sh\nexit 4\n' }),
  ...verb('answer', { v: '---\nagent: asker\n---\n# Which?\n' }, ['answer', 'v', '-m', 'the leftmost']),
  {
    name: 'enqueue',
    settings: SETTINGS,
    fresh: (world) => writeFileSync(join(world.base, 'e.md'), work('echo e > e')),
    command: ['enqueue', '../e.md'],
  },
  {
    name: 'breakdown',
    settings: `${SETTINGS}agents: {planner: {command: [./planner], input: prompt}}\n`,
    files: {
      'roles/breakdown.md': '---\nagent: planner\n---\nYou divide.\n',
      planner: `#!/bin/sh\ncat > /dev/null\n${log('start')}\necho sly > sly.txt\ncat <<'ANSWER'\n${answer(DIVISION)}\nANSWER\n${log('end')}\n`,
    },
    tasks: { b: '---\nrole: breakdown\nchecks: ["cat one two"]\n---\n# Large\n' },
  },
  ...workflows(),
];

function step(name: string, fields: string, script: string): string {
  return `## ${name}\n\n* **Agent:** [I](../roles/implementer.md)\n${fields}\n~~~sh\n${log('start')}\ntrap '${log('end')}' EXIT\n${script}\n~~~\n\n`;
}

/** Two steps after the first, side by side, that are not over. */
function held(): string {
  return [
    '---\nagent: shell\n---\n# Held\n\n',
    step('First', '', 'echo first > first'),
    ...['One', 'Two'].map((name) => step(name, '* **After:** First\n* **Review:** human\n', `echo > ${name}`)),
    step('Last', '* **After:** One, Two\n', 'echo last > last'),
  ].join('');
}

/** A run of a workflow with a condition, a list, a step that fails and one that is skipped. */
function steps(): string {
  return [
    '---\nagent: shell\n---\n# Steps\n\n',
    // biome-ignore-start lint/suspicious/noTemplateCurlyInString: variables of the workflow
    step('List', '* **Output:** ${L}\n', 'echo list > list; echo a; echo b'),
    step('Each', '* **For each:** ${L} as ${I}\n* **Output:** ${O}\n', 'echo "${I}" > each; echo "done ${I}"'),
    step('Fails', '* **After:** List\n', 'exit 3'),
    step('Mends', '* **If:** Fails failed\n', 'echo mended > mended'),
    step('Skipped', '* **If:** Fails ok\n', 'echo never > never'),
    step('Last', '* **Input:** ${O}\n* **After:** Skipped\n* **Complexity:** minor\n', 'echo "${O}" > last'),
    // biome-ignore-end lint/suspicious/noTemplateCurlyInString: variables of the workflow
  ].join('');
}

const runIn = (world: World): string => readdirSync(world.path('.towpath/workflows'))[0]!;

function workflows(): Scenario[] {
  const command = ['workflow', 'run', 'steps'];
  const world = {
    settings: 'agent: shell\nretry: {initial: 50ms, max_attempts: 1}\nconcurrency: 2\n',
    files: { 'workflows/steps.workflow.md': steps() },
  };
  return [
    { name: 'workflow', ...world, prepare: (made) => made.run(command) },
    { name: 'workflow-run', ...world, command },
    {
      name: 'workflow-retry',
      ...world,
      prepare: async (made) => {
        await made.run(command);
        await made.drain();
        await made.run(['workflow', 'retry', runIn(made), 'List']);
      },
    },
    {
      ...{ name: 'workflow-again', ...world },
      prepare: async (made) => {
        await made.run(command);
        await made.drain();
      },
      command: (made) => ['workflow', 'retry', runIn(made), 'List'],
    },
    {
      // What comes after the step waits for a person: it is cancelled before all runs again.
      ...{ name: 'workflow-cut', settings: world.settings, files: { 'workflows/steps.workflow.md': held() } },
      prepare: async (made) => {
        await made.run(command);
        await made.drain();
      },
      command: (made) => ['workflow', 'retry', runIn(made), 'First'],
    },
  ];
}

/** A command without a daemon, on a world that was drained. */
function verb(
  name: string,
  tasks: Record<string, string>,
  command: string[],
  hooks?: Record<string, string>,
): Scenario[] {
  const asker = `#!/bin/sh\n${log('start')}\ngrep -q leftmost && echo > left || echo '{"type":"error","outcome":"needs_input","content":"which one?"}'\n${log('end')}\n[ -e left ]\n`;
  const settings = `${SETTINGS}agents: {asker: {command: [./asker]}}\n`;
  return [{ name, settings, files: { asker }, tasks, command, prepare: drained, ...(hooks ? { hooks } : {}) }];
}

// towpath demo: a throwaway repository, a real daemon, five tasks through real worktrees; no agent, no key.
import { spawn } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { EXIT, TowpathError } from '../errors.ts';
import { makeFolders } from '../folders.ts';
import { Workspace } from '../paths.ts';
import { FileQueue } from '../queue/files/engine.ts';
import { git } from '../worktree/git.ts';
import type { Common } from './common.ts';

const BIN = fileURLToPath(new URL('../towpath.js', import.meta.url));
const fence = '```';
const sh = (lines: string[]): string => [`${fence}sh`, ...lines, fence, ''].join('\n');

const FILES: Record<string, string> = {
  'README.md': '# Demo\n\nA small project for Towpath to work on.\n',
  'sum.sh': '#!/bin/sh\n# Adds its two arguments.\necho "$1 + $2"\n',
};

const SETTINGS = `agent: shell          # runs the sh blocks of a task; a real agent would read its text
retry: {initial: 1s}
`;

const HOOKS: Record<string, string> = {
  pre_task: `#!/bin/sh
# A hook in sh: runs before each attempt. What it prints is shown; exit 0 lets the task go on.
echo "pre_task (sh): $TOWPATH_TASK_ID, attempt $TOWPATH_ATTEMPT, in $(basename "$TOWPATH_WORKTREE")"
`,
  'post_task.mjs': `#!/usr/bin/env node
// A hook in JavaScript: reads the task and its result as JSON on stdin.
let text = '';
for await (const chunk of process.stdin) text += chunk;
const { task, result } = JSON.parse(text);
console.log(\`post_task (node): \${task.id} changed \${result.files.join(', ') || 'nothing'}\`);
`,
};

const TASKS: Record<string, string> = {
  greeting: `---
checks: [test -s greeting.txt]
---
# Write a greeting

${sh(["echo 'Hello from Towpath' > greeting.txt"])}`,
  sum: `---
checks: ['test "$(sh sum.sh 2 3)" = 5']
---
# Make sum.sh add

The first attempt gets it wrong on purpose; the check notices, and the second attempt finds its feedback in the prompt.

${sh([
  'if grep -q "^### From check" "$TOWPATH_PROMPT_FILE"; then',
  "  printf '%s\\n' '#!/bin/sh' '# Adds its two arguments.' 'echo $(($1 + $2))' > sum.sh",
  'else',
  "  printf '%s\\n' '#!/bin/sh' '# Adds its two arguments.' 'echo $(($1 - $2))' > sum.sh",
  'fi',
])}`,
  translation: `---
depends_on: [greeting]
checks: [test -s gruss.txt]
---
# Translate the greeting

Waits for greeting, whose branch is merged in.

${sh(["sed 's/Hello from/Gruesse von/' greeting.txt > gruss.txt"])}`,
  notes: `---
complexity: minor
priority: P1
---
# Note the date in the project's own tree

${sh(['date -u +%F > NOTES'])}`,
  typo: `---
priority: P9
---
# A task that is refused

Its priority does not exist.
`,
};

export async function demo(_: [], options: Common & { dir?: string }): Promise<number> {
  const root = options.dir ? resolve(options.dir) : mkdtempSync(join(tmpdir(), 'towpath-demo-'));
  mkdirSync(root, { recursive: true });
  if (readdirSync(root).length > 0) throw new TowpathError('bad_usage', `${root} is not empty`, 'name a new folder');
  await makeProject(root);
  const workspace = new Workspace(root);
  const queue = new FileQueue(workspace, { durability: 'full' });
  say(
    options,
    `A repository and a workspace in ${root}; five tasks go into queues/incoming, then: towpath start --drain\n`,
  );
  for (const [id, content] of Object.entries(TASKS)) {
    // The refused one is dropped as a person would drop it: enqueue would not take it.
    if (id === 'typo') writeFileSync(join(workspace.queue('incoming'), `${id}.md`), content);
    else await queue.submit({ name: `${id}.md`, content });
  }
  await run(root, options.json ?? false);
  return report(root, queue, options);
}

async function makeProject(root: string): Promise<void> {
  for (const [name, text] of Object.entries(FILES)) writeFileSync(join(root, name), text);
  writeFileSync(join(root, 'towpath.yaml'), SETTINGS);
  mkdirSync(join(root, 'hooks'));
  for (const [name, text] of Object.entries(HOOKS)) {
    writeFileSync(join(root, 'hooks', name), text);
    chmodSync(join(root, 'hooks', name), 0o755);
  }
  makeFolders(new Workspace(root), join(root, '.worktrees'));
  const repo = git(root);
  await repo.run(['init', '-q', '-b', 'main']);
  await repo.run(['add', '-A']);
  await repo.run([
    '-c',
    'user.name=towpath',
    '-c',
    'user.email=towpath@localhost',
    'commit',
    '-q',
    '-m',
    'A small project',
  ]);
}

/** The daemon as a user starts it: a process of its own. Its exit status is 1 here, because one task is refused. */
function run(root: string, json: boolean): Promise<void> {
  const path = `${dirname(process.execPath)}:${process.env['PATH'] ?? ''}`;
  const argv = [BIN, 'start', '--drain', '--workspace', root, ...(json ? ['--json'] : [])];
  const child = spawn(process.execPath, argv, {
    stdio: ['ignore', 'inherit', 'inherit'],
    env: { ...process.env, PATH: path },
  });
  return new Promise((done, failed) => {
    child.once('error', failed);
    child.once('exit', () => done());
  });
}

async function report(root: string, queue: FileQueue, options: Common): Promise<number> {
  const tasks = await queue.list();
  const good = ['greeting', 'sum', 'translation', 'notes'].every((id) =>
    tasks.some((task) => task.id === id && task.queue === 'done'),
  );
  if (options.json) {
    console.log(
      JSON.stringify({
        workspace: root,
        ok: good,
        tasks: tasks.map(({ id, queue: at, state }) => ({
          id,
          queue: at,
          branch: state.branch ?? null,
          attempts: state.attempts ?? 0,
          reason: state.reason ?? null,
        })),
      }),
    );
    return good ? EXIT.ok : EXIT.failed;
  }
  const repo = git(root);
  console.log('\nWhat is where:');
  for (const { id, queue: at, state, refusal } of tasks) {
    const where = state.commit
      ? `${state.branch} at ${state.commit.slice(0, 8)}: ${(await repo.run(['show', '-s', '--format=%s', state.commit])).trim()}`
      : (state.reason ?? refusal ?? '');
    console.log(
      `  ${at.padEnd(7)} ${id.padEnd(12)} ${state.attempts ? `${state.attempts} attempt${state.attempts > 1 ? 's' : ''}, ` : ''}${where}`,
    );
  }
  const bin = existsSync(join(process.cwd(), 'daemon', 'towpath.js')) ? 'npx towpath' : 'towpath';
  console.log(`
What to try next:
  git -C ${root} log --oneline --graph --all
  ${bin} show sum -w ${root}       both attempts, the failed check and its feedback
  ${bin} why typo -w ${root}       the reason, with its line
  ${bin} logs sum -w ${root}       what the agent did
  ${bin} doctor -w ${root}         which agents are here, and whether they can work
  rm -r ${root}                    when you are done with it`);
  return good ? EXIT.ok : EXIT.failed;
}

function say(options: Common, text: string): void {
  if (!options.json) console.log(text);
}

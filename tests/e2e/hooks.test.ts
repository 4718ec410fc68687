import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { shellTask, until, workspaces } from '../helpers/workspace.ts';

const workspace = workspaces();

const PYTHON = `#!/usr/bin/env python3
import json, sys
data = json.load(sys.stdin)
open(data["workspace"] + "/python.json", "w").write(json.dumps(data))
print(json.dumps({"decision": "continue", "context": "Speak of " + data["task"]["title"], "env": {"FROM_HOOK": "py"}}))
`;
const PERL = `#!/usr/bin/env perl
use strict; use warnings;
local $/; my $json = <STDIN>;
open(my $f, '>', "$ENV{TOWPATH_WORKSPACE}/perl") or die $!;
print $f "$ENV{TOWPATH_EVENT} $ENV{TOWPATH_TASK_ID} $ENV{TOWPATH_BRANCH}\\n";
`;
const NODE = `#!/usr/bin/env node
let text = '';
process.stdin.on('data', (chunk) => (text += chunk)).on('end', () => {
  const { event, task, result } = JSON.parse(text);
  require('fs').writeFileSync(process.env.TOWPATH_WORKSPACE + '/node.json', JSON.stringify({ event, id: task.id, result }));
});
`;

describe('hooks around a task', () => {
  it('run in several languages, see the task, and speak to the agent', () => {
    const ws = workspace();
    ws.hook('pre_task.py', PYTHON);
    ws.hook('pre_task.d/10-perl', PERL);
    ws.hook('post_task.js', NODE);
    ws.hook('setup', '#!/bin/sh\necho "$PWD" >> "$TOWPATH_WORKSPACE/setups"\n');
    ws.drop('t', shellTask('echo "$FROM_HOOK" > out; grep -c "^Speak of A task" "$TOWPATH_PROMPT_FILE" >> out'));
    expect(ws.drain().code).toBe(0);
    expect(ws.git('show', 'towpath/t:out')).toBe('py\n1\n');
    expect(readFileSync(ws.path('perl'), 'utf8')).toBe('pre_task t towpath/t\n');
    expect(JSON.parse(readFileSync(ws.path('node.json'), 'utf8'))).toMatchObject({
      event: 'post_task',
      id: 't',
      result: { outcome: 'ok', files: ['out'] },
    });
    expect(JSON.parse(readFileSync(ws.path('python.json'), 'utf8'))).toMatchObject({
      version: 1,
      event: 'pre_task',
      attempt: 1,
      workspace: ws.root,
      worktree: ws.path('.worktrees/task-t'),
      branch: 'towpath/t',
      agent: 'shell',
      result: null,
      task: { id: 't', queue: 'claimed', title: 'A task' },
    });
    expect(readFileSync(ws.path('setups'), 'utf8').trim()).toBe(ws.path('.worktrees/task-t'));
  });

  it('put off, block and skip a task', () => {
    const ws = workspace();
    ws.hook(
      'pre_task',
      `#!/bin/sh
case $TOWPATH_TASK_ID in
  later) [ -e "$TOWPATH_WORKSPACE/seen" ] && exit 0; touch "$TOWPATH_WORKSPACE/seen"; echo '{"decision":"retry","reason":"busy","retry_after":"1s"}';;
  tempfail) [ -e "$TOWPATH_WORKSPACE/seen2" ] && exit 0; touch "$TOWPATH_WORKSPACE/seen2"; exit 75;;
  block) echo '{"decision":"block","reason":"not on a Friday"}';;
  skip) echo '{"decision":"skip","reason":"not ours"}';;
esac
`,
    );
    for (const id of ['later', 'tempfail', 'block', 'skip']) ws.drop(id, shellTask('echo > f'));
    expect(ws.drain().code).toBe(1);
    expect(ws.show('later')).toMatchObject({ queue: 'done', attempts: 1 });
    expect(ws.show('tempfail')).toMatchObject({ queue: 'done', attempts: 1 });
    expect(ws.show('block')).toMatchObject({ queue: 'blocked', reason: 'hook pre_task: not on a Friday', attempts: 0 });
    expect(ws.show('skip')).toMatchObject({
      queue: 'failed',
      outcome: 'cancelled',
      reason: expect.stringContaining('not ours'),
    });
  });

  it('that fail ask the operator: retry, skip, abort', () => {
    const ws = workspace();
    ws.hook(
      'pre_task',
      '#!/bin/sh\necho "$TOWPATH_TASK_ID" >> "$TOWPATH_WORKSPACE/ran"\necho "the licence server is away" >&2\nexit 3\n',
    );
    for (const id of ['a', 'b', 'c']) ws.drop(id, shellTask('echo > f'));
    expect(ws.drain().code).toBe(1);
    expect(ws.show('a')).toMatchObject({
      queue: 'blocked',
      reason: expect.stringContaining('hook pre_task failed: the licence server is away'),
    });
    expect(ws.run(['resolve', 'a', 'skip']).code).toBe(0);
    expect(ws.run(['resolve', 'b', 'abort']).code).toBe(0);
    expect(ws.run(['resolve', 'c', 'retry']).code).toBe(0);
    ws.drain();
    expect(ws.show('a')).toMatchObject({ queue: 'done', attempts: 1 });
    expect(ws.show('b')).toMatchObject({ queue: 'failed', outcome: 'cancelled' });
    expect(ws.show('c').queue).toBe('blocked');
    expect(
      readFileSync(ws.path('ran'), 'utf8')
        .split('\n')
        .filter((id) => id === 'c'),
    ).toHaveLength(2);
    expect(ws.run(['resolve', 'a', 'retry'])).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('"a" is in done/'),
    });
  });

  it('after the work that fail do not cost the work', () => {
    const ws = workspace();
    ws.hook('post_task', '#!/bin/sh\n[ -e "$TOWPATH_WORKSPACE/mended" ] || { echo nope >&2; exit 1; }\n');
    ws.drop('t', shellTask('echo run >> "$TOWPATH_WORKSPACE/runs"; echo > f'));
    ws.drain();
    expect(ws.show('t')).toMatchObject({ queue: 'blocked', reason: expect.stringContaining('post_task failed: nope') });
    ws.file('mended', '');
    ws.run(['resolve', 't', 'retry']);
    expect(ws.drain().code).toBe(0);
    expect(ws.show('t')).toMatchObject({ queue: 'done', attempts: 1 });
    expect(readFileSync(ws.path('runs'), 'utf8')).toBe('run\n');
  });

  it('follow hooks.on_failure', () => {
    const ws = workspace('agent: shell\nhooks: {on_failure: {pre_task: ignore, post_task: fail}}\n');
    ws.hook('pre_task', '#!/bin/sh\nexit 1\n');
    ws.drop('t', shellTask('echo > f'));
    expect(ws.drain().code).toBe(0);
    ws.hook('post_task', '#!/bin/sh\nexit 1\n');
    ws.drop('u', shellTask('echo > f'));
    expect(ws.drain().code).toBe(1);
    expect(ws.show('u').queue).toBe('failed');
  });

  it('are ended with all they started when they take too long', () => {
    const ws = workspace('agent: shell\nhooks: {timeout: 500ms}\n');
    ws.hook('pre_task', '#!/bin/sh\nsetsid sleep 300 &\nsleep 300\n');
    ws.drop('t', shellTask('echo > f'));
    ws.drain();
    expect(ws.show('t')).toMatchObject({
      queue: 'blocked',
      reason: expect.stringMatching(/hook pre_task failed: .*(500|0\.5|time)/),
    });
  });
});

describe('hooks of the workspace', () => {
  it('health_check holds claiming while it fails', async () => {
    const ws = workspace('agent: shell\nhooks: {health_every: 300ms}\n');
    ws.hook('health_check', '#!/bin/sh\n[ -e "$TOWPATH_WORKSPACE/healthy" ] || { echo "no power" >&2; exit 1; }\n');
    ws.drop('t', shellTask('echo > f'));
    await ws.start();
    await until(() => ws.run(['why', 't']).stdout.includes('no power'), 'why names the health check');
    expect(ws.where('t')).toBe('incoming');
    ws.file('healthy', '');
    await ws.reaches('t', 'done');
  });

  it('notify hears of each transition, poll brings tasks in once', async () => {
    const ws = workspace();
    ws.hook(
      'notify',
      '#!/usr/bin/env python3\nimport json, sys, os\nd = json.load(sys.stdin)\nopen(os.environ["TOWPATH_WORKSPACE"] + "/notes", "a").write("%s %s\\n" % (d["task"]["id"], d["task"]["queue"]))\n',
    );
    ws.hook(
      'poll',
      `#!/bin/sh\nprintf '%s\\n' '{"id":"polled","agent":"shell","expect":"any","body":"# From elsewhere\\n\\n\`\`\`sh\\necho polled\\n\`\`\`\\n"}'\necho 'not json'\n`,
    );
    await ws.start();
    await ws.reaches('polled', 'done');
    expect(ws.show('polled')).toMatchObject({ title: 'From elsewhere', result: 'polled' });
    await until(
      () => existsSync(ws.path('notes')) && readFileSync(ws.path('notes'), 'utf8').includes('polled done'),
      'notify heard of done',
    );
    ws.run(['stop']);
    await ws.start();
    ws.run(['stop']);
    expect(ws.where('polled')).toBe('done');
    expect(ws.where('polled-2')).toBeNull();
  });

  it('gate gives a verdict of its own, with feedback', () => {
    const ws = workspace();
    ws.hook('gate', '#!/bin/sh\ngrep -q please f || { echo "say please" >&2; exit 1; }\n');
    ws.drop(
      't',
      shellTask(
        'if [ $TOWPATH_ATTEMPT = 1 ]; then echo now > f; else echo please > f; cp "$TOWPATH_PROMPT_FILE" p; fi',
      ),
    );
    expect(ws.drain().code).toBe(0);
    expect(ws.show('t')).toMatchObject({
      queue: 'done',
      attempts: 2,
      feedback: [{ message: expect.stringContaining('say please') }],
    });
  });
});

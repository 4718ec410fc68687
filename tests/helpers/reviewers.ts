// A workspace whose reviewing agents are scripts, one a role; each of their runs is noted with its prompt.
import { existsSync, readFileSync } from 'node:fs';
import type { Opinion } from '../../daemon/gate/helpers/opinions.ts';
import type { TaskJson } from '../../daemon/task/terms.ts';
import { type TestWorkspace, workspaces } from './workspace.ts';

interface Found {
  file: string | null;
  line: number | null;
  severity: string;
  message: string;
}

/** What a reviewer answers. */
export const verdict = (said: 'accept' | 'reject', summary = 'fine', findings: Found[] = []): string =>
  JSON.stringify({ verdict: said, summary, findings });
/** What a tester answers. */
export const evidence = (commands: string[][], summary = 'tried', findings: Found[] = []): string =>
  JSON.stringify({ summary, commands, findings });

/** The script of an agent that ends with an answer. */
export const answers = (text: string, more = ''): string => `{ ${more}:; }
cat <<'ANSWER'
${JSON.stringify({ type: 'result', success: true, session: 's-review', output: text, usage: { input_tokens: 10, output_tokens: 5, cost_usd: 0.25 } })}
ANSWER`;

/** For one test file. */
export function scene() {
  const make = workspaces();
  return {
    setUp(scripts: Record<string, string>, settings = '', attempts = 2): TestWorkspace {
      const agents = Object.keys(scripts).map((role) => `  ${role}-bot: {command: ./${role}-bot, input: prompt}`);
      const ws = make(
        `agent: shell\nretry: {initial: 50ms, max: 200ms, max_attempts: ${attempts}}\nagents:\n${agents.join('\n')}\n${settings}`,
      );
      for (const [role, script] of Object.entries(scripts)) {
        ws.file(`roles/${role}.md`, `---\nagent: ${role}-bot\n---\nYou are the ${role}.\n`);
        ws.file(
          `${role}-bot`,
          `#!/bin/sh\ncat > "$TOWPATH_WORKSPACE/.towpath/prompt-$TOWPATH_TASK_ID-$TOWPATH_ATTEMPT"\necho "$TOWPATH_TASK_ID $TOWPATH_ATTEMPT session=$TOWPATH_SESSION" >> "$TOWPATH_WORKSPACE/.towpath/reviews"\n${script}\n`,
          0o755,
        );
      }
      return ws;
    },
    calls(ws: TestWorkspace): string[] {
      const path = ws.path('.towpath/reviews');
      return existsSync(path) ? readFileSync(path, 'utf8').trim().split('\n') : [];
    },
    prompt: (ws: TestWorkspace, run: string) => readFileSync(ws.path(`.towpath/prompt-${run}`), 'utf8'),
    show: (ws: TestWorkspace, id: string) => ws.json<TaskJson & { reviews: Opinion[] }>(['show', id]),
  };
}

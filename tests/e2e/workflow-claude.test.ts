// zero-to-hero with the real Claude Code CLI against a scripted model: what one step says reaches the model in the next.
import { existsSync, rmSync } from 'node:fs';
import { expect, test } from 'vitest';
import { type Call, type Step, startModelServer } from '../fakes/model-server.ts';
import { CLIS } from '../helpers/clis.ts';
import { TestWorkspace, tempDir, until } from '../helpers/workspace.ts';

const SLOW_MS = 240_000;
const FILES: Record<string, string> = { Implement: 'fly.txt', Test: 'fly.test.txt', Document: 'README.md' };

/** The step that a call of the model belongs to, by the first line of its prompt. */
const stepOf = (call: Call): string =>
  /# (Analyse|Plan|Implement|Test|Document|Sum up)\\n/.exec(JSON.stringify(call.body['messages']))?.[1] ?? 'none';

function answer(call: Call): Step {
  const step = stepOf(call);
  const file = FILES[step];
  const worked = JSON.stringify(call.body['messages']).includes('"tool_result"');
  if (file && !worked)
    return { tools: [{ name: 'Bash', input: { command: `echo ${step} >> ${file}`, description: 'a step' } }] };
  return {
    text: `Thoughts.\n\n\`\`\`\`${{ Analyse: 'ANALYSIS', Plan: 'PLAN' }[step] ?? 'other'}\nsaid by ${step}\n\`\`\`\`\n`,
  };
}

test(
  'zero-to-hero goes its whole way with a real agent',
  async () => {
    const ws = new TestWorkspace(
      `agent: claude\nagents: {claude: {command: ${JSON.stringify([CLIS.claude])}}}\nretry: {initial: 100ms, max: 1s}\nconcurrency: 2\ndurability: fast\n`,
    );
    const home = tempDir('towpath-home-');
    const model = await startModelServer(answer);
    try {
      const { run } = ws.json<{ run: string }>(['workflow', 'run', 'zero-to-hero', '--var', 'GOAL=fly']);
      // Whatever would leave this machine runs into the scripted model, which tunnels nothing.
      await ws.start([], {
        ...{ ANTHROPIC_BASE_URL: model.url, HOME: home, ANTHROPIC_API_KEY: 'not-a-key' },
        ...{ HTTP_PROXY: model.url, HTTPS_PROXY: model.url, NO_PROXY: '127.0.0.1' },
      });
      const last = `${run}.6-sum-up`;
      await until(
        () => existsSync(ws.path('queues/done', `${last}.md`)),
        'the last step is done',
        SLOW_MS,
        () => ws.output,
      );
      const sent = (step: string) => JSON.stringify(model.main.find((call) => stepOf(call) === step)?.body['messages']);
      expect(sent('Plan')).toContain('What is known of the repository:\\n\\nsaid by Analyse\\n');
      expect(sent('Implement')).toContain('The plan:\\n\\nsaid by Plan\\n');
      // No block of that name: all of the answer.
      expect(sent('Test')).toContain('Its author says:\\n\\nThoughts.');
      expect(ws.git('ls-tree', '-r', '--name-only', `towpath/${last}`)).toMatch(
        /README\.md\n(.*\n)*fly\.test\.txt\nfly\.txt\n/,
      );
      expect(ws.git('show', `towpath/${last}:README.md`)).toContain('Document');
    } finally {
      await ws.close();
      await model.close();
      rmSync(home, { recursive: true, force: true, maxRetries: 5 });
    }
  },
  SLOW_MS + 30_000,
);

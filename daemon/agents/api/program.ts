// The program of the api agent, a process of its own: reads its job from stdin, works, tells what it does, and leaves an exit code.
import { text } from 'node:stream/consumers';
import { messageOf } from '../../errors.ts';
import { endPrograms } from '../../process/run.ts';
import { guard, useSecrets } from '../../secrets.ts';
import { Conversation } from './conversation.ts';
import { Fault } from './fault.ts';
import { type Job, keyNames } from './job.ts';
import { converse } from './loop.ts';
import { Router } from './router.ts';
import { tell } from './tell.ts';
import type { AnswerTool } from './tools/answer.ts';
import { toolEnv } from './tools/command.ts';
import { toolsFor } from './tools/tools.ts';

// What the SDK warns of (a model it does not know …) is nothing that anyone could mend here.
Object.assign(globalThis, { AI_SDK_LOG_WARNINGS: false });

for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const)
  process.once(signal, () => {
    // A command that runs is ended first, since it leads a session of its own; then we die by the signal, as if unhandled.
    void endPrograms().finally(() => process.kill(process.pid, signal));
  });

async function main(): Promise<void> {
  const job = JSON.parse(await text(process.stdin)) as Job;
  useSecrets({ secrets: {} }, job.worktree);
  for (const name of keyNames(job.servers)) guard(name, process.env[name] ?? '');
  const conversation = job.resume ? Conversation.resume(job.conversation) : Conversation.begin(job.conversation);
  // No session is told: the daemon then knows that there is none to go on with.
  if (!conversation)
    throw new Fault(
      'failed',
      `the session ${job.session} ${job.resume ? 'is not there any more' : 'is there already'}`,
    );
  tell({ type: 'session', session: job.session, model: job.model });
  const env = toolEnv(process.env, keyNames(job.servers));
  const servers = await mcpServers(job, env);
  try {
    const used = { input: 0, output: 0, cache_read: 0, cache_write: 0 };
    const tools = [...toolsFor(job, env), ...servers.tools];
    const answer = await answerFor(job);
    const output = await converse({ job, conversation, router: new Router(job.servers), tools, answer, used });
    tell({ type: 'result', success: true, output, usage: used, session: job.session });
  } finally {
    await servers.close();
  }
}

/** The client is loaded where it is wanted: it is as large as all the rest. */
async function mcpServers({ mcp, worktree }: Job, env: Record<string, string>) {
  if (Object.keys(mcp).length === 0) return { tools: [], close: async () => {} };
  const { openServers } = await import('./tools/mcp.ts');
  return openServers(mcp, { cwd: worktree, env });
}

/** Its validator is loaded where it is wanted. */
async function answerFor({ output_schema }: Job): Promise<AnswerTool | null> {
  if (!output_schema) return null;
  const { answerTool } = await import('./tools/answer.ts');
  return answerTool(output_schema);
}

await main().catch((thrown: unknown) => {
  const { outcome, resets_at } = thrown instanceof Fault ? thrown : new Fault('failed', '');
  tell({ type: 'error', outcome, content: messageOf(thrown), ...(resets_at ? { resets_at } : {}) });
  process.exitCode = 1;
});

// Tries a pattern: on a throwaway clone of the repository, so that nothing of the user's is touched, and shows the change as a diff.
import { mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { resolveCommand } from '../agents/command.ts';
import { PatternReader, patternVariables } from '../agents/pattern.ts';
import { EXIT } from '../errors.ts';
import { type Chosen, patternCall } from '../patterns/choose.ts';
import { childEnv } from '../process/env.ts';
import { run } from '../process/run.ts';
import { agentSettings, type Settings } from '../settings.ts';
import { git } from '../worktree/git.ts';
import { openRepo, resolveBase } from '../worktree/repo.ts';
import type { Opened } from './open.ts';

export async function dryRun(
  { workspace, loaded: { settings } }: Opened,
  { pattern, inputs }: Chosen,
  project: Settings['projects'][string] | undefined,
  json: boolean,
): Promise<number> {
  const repo = await openRepo(resolve(workspace.root, project?.repo ?? settings.repo));
  const { sha } = await resolveBase(repo, project?.base ?? settings.base);
  const dir = realpathSync(mkdtempSync(join(tmpdir(), 'towpath-dry-run-')));
  try {
    const worktree = join(dir, 'worktree');
    await git(repo.root).run(['clone', '-q', '--shared', '--no-checkout', '--', repo.commonDir, worktree]);
    await git(worktree).run(['checkout', '-q', '--detach', sha]);
    const call = patternCall({
      task: null,
      attempt: null,
      inputs,
      workspace: workspace.root,
      repo: repo.root,
      worktree,
      branch: null,
      dry_run: true,
    });
    const reader = new PatternReader();
    const end = await run({
      argv: [...resolveCommand(agentSettings(settings, 'pattern'), workspace.root).wrap, pattern.program],
      cwd: worktree,
      env: childEnv({
        allow: settings.env,
        set: { TOWPATH_WORKSPACE: workspace.root, TOWPATH_WORKTREE: worktree, ...patternVariables(call) },
      }),
      input: `${JSON.stringify(call)}\n`,
      timeout_ms: settings.timeouts.agent,
      onLine: (text, stream) => {
        if (stream === 'stderr') return console.error(text);
        for (const event of reader.line(text))
          if (!json && event.type === 'log' && !text.startsWith('{')) console.error(text);
      },
    });
    const { outcome, reason, output, outputs } = reader.conclude({ ...end, code: end.spawnError ? 127 : end.code });
    await git(worktree).run(['add', '-A']);
    const diff = await git(worktree).run(['diff', '--cached', '--no-color', '--no-ext-diff', '--no-renames', sha]);
    const ok = outcome === 'ok';
    const why = end.timedOut ? 'it did not end in time' : (end.spawnError ?? reason);
    if (json)
      console.log(JSON.stringify({ pattern: pattern.name, ok, reason: ok ? null : why, output, outputs, diff }));
    else {
      process.stdout.write(diff);
      console.error(ok ? output || 'done' : `towpath: ${pattern.name} failed: ${why}`);
    }
    return ok ? EXIT.ok : EXIT.failed;
  } finally {
    rmSync(dir, { recursive: true, force: true, maxRetries: 3 });
  }
}

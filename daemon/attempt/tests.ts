// What a tester leaves: its change as a patch in the folder of its run, what is wrong with that, and the commit that it becomes.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { TESTS_BYTES, type Tested, testedProblem } from '../task/test.ts';
import type { Author } from '../worktree/commit.ts';
import { type Patched, patchCommit, patchOf } from '../worktree/patch.ts';
import { protectedFiles } from './protect.ts';
import type { Work } from './work.ts';

const FILE = 'tests.patch';

/** Keeps what a run has changed; nothing is kept of what is too large. */
export async function keepTests(dir: string, { worktree, start }: Work, tip: string, sync: boolean): Promise<void> {
  const patch = await patchOf(worktree, start!, tip, TESTS_BYTES);
  if (patch) writeFileSync(join(dir, FILE), patch, { mode: 0o600, flush: sync });
}

function readTests(dir: string): Buffer | null {
  try {
    return readFileSync(join(dir, FILE));
  } catch {
    return null;
  }
}

interface Judged {
  /** The folder of its run. */
  dir: string;
  /** A worktree of the repository, and the commit that was tested. */
  worktree: string;
  commit: string;
  protect: string[];
  /** Its agent may have commands run. */
  full: boolean;
  made: { message: string; author: Author };
}

/** The commit with a tester's tests, on no branch yet: the one that was tested when it changed nothing; or why its answer is no evidence. */
export async function testsCommit(tested: Tested, by: Judged): Promise<Patched> {
  const problem = testedProblem(tested, by.full);
  if (problem) return { problem };
  const patch = readTests(by.dir);
  if (!patch) return { problem: `its change was not kept: it may have up to ${TESTS_BYTES / 1024} KiB` };
  if (patch.length === 0)
    return tested.commands.length > 0 ? { commit: by.commit, files: [] } : { problem: 'the tester ran nothing' };
  const patched = await patchCommit(by.worktree, by.commit, patch, { ...by.made, keeps: true });
  if ('problem' in patched) return patched;
  const touched = protectedFiles(patched.files, by.protect);
  return touched.length > 0 ? { problem: `it changes protected files: ${touched.slice(0, 5).join(', ')}` } : patched;
}

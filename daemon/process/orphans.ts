// Ends the short programs (git, hooks, checks) of a Towpath process that was killed: the next one runs them anew, and not beside them.
import { readdirSync, readFileSync } from 'node:fs';
import { OWNER } from '../owner.ts';
import { endTree } from './end.ts';
import { type Identity, identify, startedAt } from './identity.ts';

/** A git that is asked to leave removes its lock files first, ms. */
const GRACE_MS = 3000;

/** Ends what was started for a workspace by processes that are dead. Returns how many there were. Linux only: elsewhere an environment cannot be read. */
export async function endOrphans(root: string): Promise<number> {
  const orphans = process.platform === 'linux' ? readdirSync('/proc').flatMap((name) => orphan(name, root) ?? []) : [];
  await Promise.all(orphans.map((one) => endTree({ root: one }, { grace_ms: GRACE_MS })));
  return orphans.length;
}

function orphan(name: string, root: string): Identity | undefined {
  if (!/^\d+$/.test(name)) return undefined;
  try {
    const env = `\0${readFileSync(`/proc/${name}/environ`, 'utf8')}`;
    const [, pid, started, of] = new RegExp(`\\0${OWNER}=(\\d+) (\\S+) ([^\\0]*)`).exec(env) ?? [];
    if (of !== root || startedAt(Number(pid)) === started) return undefined;
    return identify(Number(name));
  } catch {
    // Gone, or another user's.
    return undefined;
  }
}

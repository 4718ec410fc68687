// Whose a short program is: git, hooks and checks carry who waits for them, because none may outlive that process unseen.

/** `PID STARTED WORKSPACE` of the Towpath process that waits for the program. */
export const OWNER = 'TOWPATH_OWNER';

let mine: Readonly<Record<string, string>> = {};

/** From here on this process works for a workspace. */
export function ownPrograms(root: string, { pid, started }: { pid: number; started: string }): void {
  mine = { [OWNER]: `${pid} ${started} ${root}` };
}

/** What the environment of each short program gets. */
export const ownerEnv = (): Readonly<Record<string, string>> => mine;

// Which processes belong to a run: what descends from its root, carries its marker, or lives in a session it opened.
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { errno } from '../errors.ts';
import { membersOf } from './cgroup.ts';
import type { Identity } from './identity.ts';

/** The variable that every process of a run carries: `<id>/<attempt>/<nonce>`. */
export const MARKER = 'TOWPATH_RUN';
/** A variable of the shim alone, so that it is known among the processes of its run. */
export const SHIM_MARK = 'TOWPATH_SHIM';

export interface Target {
  /** Itself and all that descends from it. A root that is dead, or whose pid is used by another, names nothing. */
  root?: Identity | undefined;
  /** The value of TOWPATH_RUN, or its first segments: `fix-date/2` finds `fix-date/2/abc` too. Linux only. */
  marker?: string | undefined;
  /** Only who carries that folder as TOWPATH_WORKSPACE too: ids alone are the same in many workspaces. */
  workspace?: string | undefined;
  /** The cgroup that it was started in. */
  cgroup?: string | undefined;
  /** Members that were seen earlier, pid to start time: one that left every trace behind since is known by that. */
  known?: ReadonlyMap<number, string> | undefined;
  /** A moment before its first process was born: only what is younger is looked at. */
  since?: Birth | undefined;
}

/** A moment in the numbering of processes: the last number given, and how many were given since the machine began. */
export interface Birth {
  pid: number;
  forks: number;
}

interface Process {
  pid: number;
  ppid: number;
  /** The session on Linux, the process group elsewhere: such an id is not used again while a member lives. */
  group: number;
  /** As in Identity. */
  started: string;
  zombie: boolean;
}

/** What an ending remembers between two looks: who was found, and which sessions they led. */
export interface Seen {
  started: Map<number, string>;
  groups: Set<number>;
}

/** The pids of the live processes of a run; zombies, this process and its ancestors are never among them. Throws when the processes cannot be listed (no file descriptor left). */
export function treeOf(target: Target): number[] {
  return [...collect(target).keys()];
}

/** As treeOf, with the start times. `seen` keeps processes in sight that were re-parented or changed their environment. */
export function collect(target: Target, seen: Seen = { started: new Map(), groups: new Set() }): Map<number, string> {
  return collectFrom(look(target.since), target, seen);
}

/** How long what several runs look at in one go may be old, ms. */
const SHARED_MS = 500;
let shared: { at: number; look: Look } | undefined;

/** As collect, from a look at the machine that runs which are measured together have in common. */
export function collectShared(target: Target): Map<number, string> {
  const now = performance.now();
  if (!shared || now - shared.at > SHARED_MS) {
    shared = { at: now, look: look(undefined) };
    // It is not kept once they had their turn.
    setTimeout(() => (shared = undefined), SHARED_MS).unref();
  }
  return collectFrom(shared.look, target, { started: new Map(), groups: new Set() });
}

/** One look at the machine: who there is, and, read when asked for, what run each belongs to. */
interface Look {
  all: Map<number, Process>;
  carried: Map<number, Carried>;
}

/** What a process carries in the environment that it was started with; empty where it has none. */
interface Carried {
  marker: string;
  workspace: string;
}

const look = (since: Birth | undefined): Look => ({ all: processes(since), carried: new Map() });

function collectFrom({ all, carried }: Look, target: Target, seen: Seen): Map<number, string> {
  const { root } = target;
  const inside = new Set(target.cgroup ? membersOf(target.cgroup) : []);
  const knows = (process: Process) =>
    seen.started.get(process.pid) === process.started ||
    target.known?.get(process.pid) === process.started ||
    (inside.has(process.pid) && mayBelong(process, root));
  const isOf = ({ pid }: Process) => {
    const one = carried.get(pid) ?? carriedBy(pid);
    carried.set(pid, one);
    const { marker = '', workspace } = target;
    return (
      (one.marker === marker || one.marker.startsWith(`${marker}/`)) &&
      (workspace === undefined || one.workspace === workspace)
    );
  };
  const found = new Map<number, Process>();
  const queue: Process[] = [];
  const spared = ownLine((pid) => all.get(pid)?.ppid);
  const add = (process: Process) => {
    // What they started is not the run's either: from init one comes to everything there is.
    if (found.has(process.pid) || spared.has(process.pid)) return;
    found.set(process.pid, process);
    queue.push(process);
  };
  const children = Map.groupBy(all.values(), (process) => process.ppid);
  const groups = Map.groupBy(all.values(), (process) => process.group);
  for (const process of all.values()) {
    if (process.pid === root?.pid && process.started === root.started) add(process);
    else if (knows(process) || seen.groups.has(process.group)) add(process);
    else if (target.marker && mayBelong(process, root) && isOf(process)) add(process);
  }
  for (let process = queue.pop(); process; process = queue.pop()) {
    for (const child of children.get(process.pid) ?? []) add(child);
    if (process.group !== process.pid) continue;
    seen.groups.add(process.pid);
    for (const member of groups.get(process.pid) ?? []) add(member);
  }
  const live = new Map<number, string>();
  for (const { pid, started, zombie } of found.values()) {
    if (zombie) continue;
    live.set(pid, started);
    seen.started.set(pid, started);
  }
  return live;
}

/** This process and its ancestors, and init: never part of any run. `parentOf` saves asking the system. */
export function ownLine(parentOf: (pid: number) => number | undefined = () => undefined): Set<number> {
  const line = new Set([0, 1]);
  for (let pid: number | undefined = process.pid; pid && !line.has(pid); ) {
    line.add(pid);
    pid = parentOf(pid) ?? parentFromProc(pid);
  }
  return line;
}

function parentFromProc(pid: number): number | undefined {
  if (pid === process.pid) return process.ppid;
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ', 2)[1]);
  } catch {
    return undefined;
  }
}

/** Nothing of a run is older than its root; most of a machine's processes need no second look. */
const mayBelong = (process: Process, root: Identity | undefined): boolean =>
  !root || !(Number(process.started) < Number(root.started));

function carriedBy(pid: number): Carried {
  const env = environ(pid);
  return { marker: inEnv(env, MARKER), workspace: inEnv(env, 'TOWPATH_WORKSPACE') };
}

function inEnv(env: string, name: string): string {
  const text = `\0${name}=`;
  const at = env.indexOf(text);
  return at < 0 ? '' : env.slice(at + text.length, env.indexOf('\0', at + text.length));
}

/** Whether a process is a shim, which leaves by itself once its program has. */
export const isShim = (pid: number): boolean => environ(pid).includes(`\0${SHIM_MARK}=`);

/** `\0NAME=value\0…\0`; empty when the process is gone, is another user's, or the system does not tell. */
function environ(pid: number): string {
  if (process.platform !== 'linux') return '';
  try {
    return `\0${readFileSync(`/proc/${pid}/environ`, 'utf8')}\0`;
  } catch {
    return '';
  }
}

/** This moment; undefined where the system does not tell. */
export function birth(): Birth | undefined {
  if (process.platform !== 'linux') return undefined;
  try {
    const pid = Number(readFileSync('/proc/loadavg', 'latin1').trim().split(' ').at(-1));
    const forks = Number(/^processes (\d+)$/m.exec(readFileSync('/proc/stat', 'latin1'))?.[1]);
    return pid > 0 && forks > 0 ? { pid, forks } : undefined;
  } catch {
    return undefined;
  }
}

/** Numbers are given in a circle, of 32,768 at least: after that many births they tell no more who is younger. */
const CIRCLE = 16_000;

/** Whether a pid was given after a moment. True for all when it cannot be told. */
function bornSince(since: Birth | undefined): (pid: number) => boolean {
  const now = since && birth();
  if (!since || !now || now.forks - since.forks > CIRCLE) return () => true;
  return now.pid >= since.pid ? (pid) => pid > since.pid && pid <= now.pid : (pid) => pid > since.pid || pid <= now.pid;
}

function processes(since: Birth | undefined): Map<number, Process> {
  const all = new Map<number, Process>();
  const rows = process.platform === 'linux' ? fromProc(bornSince(since)) : fromPs();
  for (const row of rows) all.set(row.pid, row);
  return all;
}

function* fromProc(wanted: (pid: number) => boolean): Generator<Process> {
  for (const name of readdirSync('/proc')) {
    const pid = Number(name);
    if (!(pid > 0 && wanted(pid))) continue;
    let stat: string;
    try {
      stat = readFileSync(`/proc/${name}/stat`, 'latin1');
    } catch (thrown) {
      if (errno(thrown) === 'ENOENT' || errno(thrown) === 'ESRCH') continue;
      throw thrown;
    }
    // comm may hold spaces and parentheses: the fields begin after the last one, with the state.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ', 20);
    const [state, ppid, , session] = fields;
    const zombie = state === 'Z' || state === 'X';
    yield { pid, ppid: Number(ppid), group: Number(session), started: fields[19] ?? '', zombie };
  }
}

function* fromPs(): Generator<Process> {
  const out = execFileSync('ps', ['-axo', 'pid=,ppid=,pgid=,stat=,lstart='], { encoding: 'utf8' });
  for (const line of out.split('\n')) {
    const found = /^\s*(\d+)\s+(\d+)\s+(\d+)\s+(\S+)\s+(.*?)\s*$/.exec(line);
    if (!found) continue;
    const [, pid, ppid, group, stat, started] = found as unknown as [string, string, string, string, string, string];
    yield { pid: Number(pid), ppid: Number(ppid), group: Number(group), started, zombie: stat.startsWith('Z') };
  }
}

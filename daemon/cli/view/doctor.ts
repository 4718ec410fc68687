// towpath doctor: looks at everything a night's run depends on, changes nothing, and says what to do about what is wrong.
import type { LoadedSettings } from '../../config.ts';
import { messageOf, TowpathError } from '../../errors.ts';
import { readDaemonInfo } from '../../hold.ts';
import { openLedger } from '../../ledger/ledger.ts';
import type { Workspace } from '../../paths.ts';
import { isAlive } from '../../process/identity.ts';
import type { QueuePort } from '../../queue/port.ts';
import { outside } from '../../secrets.ts';
import { worktreesDir } from '../../settings.ts';
import {
  type AgentProbe,
  agentFindings,
  endpointFindings,
  limitFindings,
  priceFindings,
  secretFindings,
} from './doctor-agents.ts';
import { gitFindings, hookFindings, leftoverFindings, roleFindings, settingFindings } from './doctor-files.ts';
import { diskFindings, filesystemFindings, inotifyFindings, versionFindings } from './doctor-machine.ts';
import type { Finding } from './finding.ts';
import { clean, fillScreen, paintOf, type Screen, wrap } from './style.ts';
import { plural, relative } from './words.ts';

export type { AgentProbe } from './doctor-agents.ts';

export interface DoctorSources {
  workspace: Workspace;
  /** The settings, or what was wrong with them. */
  loaded: LoadedSettings | TowpathError;
  queue: QueuePort;
  agents: readonly AgentProbe[];
}

/** Each look is on its own: one that fails is a finding, and the others go on. */
export async function gatherDoctor({ workspace, loaded, queue, agents }: DoctorSources): Promise<Finding[]> {
  const settings = loaded instanceof TowpathError ? null : loaded.settings;
  const looks: [string, () => Finding[] | Promise<Finding[]>][] = [
    ['versions', versionFindings],
    ['settings', () => settingFindings(workspace, loaded)],
    ['git', () => gitFindings(workspace, settings)],
    ['agents', () => agentFindings(agents, settings)],
    ['agents', () => (loaded instanceof TowpathError ? [] : priceFindings(agents, loaded))],
    ['agents', () => limitFindings(workspace)],
    ['agents', () => (settings ? secretFindings(settings) : [])],
    ['agents', () => (settings ? endpointFindings(settings, outside()) : [])],
    ['roles', () => roleFindings(workspace)],
    ['hooks', () => hookFindings(workspace)],
    ['queues', () => filesystemFindings(workspace)],
    ['disk', () => diskFindings(workspace, settings)],
    ['inotify', inotifyFindings],
    ['daemon', () => daemonFindings(workspace, queue)],
    ['ledger', () => ledgerFindings(workspace)],
    ['worktrees', () => (settings ? leftoverFindings(worktreesDir(settings, workspace), queue) : [])],
  ];
  const found: Finding[] = [];
  for (const [area, look] of looks) {
    try {
      found.push(...(await look()));
    } catch (thrown) {
      const next = thrown instanceof TowpathError ? thrown.next : '';
      const what = thrown instanceof TowpathError ? thrown.message : messageOf(thrown);
      found.push({ area, level: 'error', what, next });
    }
  }
  return found;
}

async function daemonFindings(workspace: Workspace, queue: QueuePort): Promise<Finding[]> {
  const area = 'daemon';
  const info = readDaemonInfo(workspace);
  if (info && isAlive(info)) {
    const since = relative(info.started_at, Date.now());
    return [
      { area, level: 'ok', what: `running, pid ${info.pid}, started ${since}`, next: '' },
      ...(info.paused === null
        ? []
        : [{ area, level: 'warn' as const, what: `paused: ${info.paused}`, next: 'towpath resume' }]),
      ...info.faults.map((one) => ({ area, level: 'error' as const, what: `${one.what}: ${one.doing}`, next: '' })),
    ];
  }
  const { claimed } = await queue.counts();
  if (claimed > 0)
    return [
      {
        area,
        level: 'warn',
        what: `not running, and ${plural(claimed, 'task')} claimed: it ended in the middle of the work`,
        next: 'towpath start',
      },
    ];
  return [{ area, level: 'ok', what: 'not running', next: 'towpath start' }];
}

function ledgerFindings(workspace: Workspace): Finding[] {
  const area = 'ledger';
  const ledger = openLedger(workspace, { readonly: true });
  try {
    const n = ledger.lastId();
    if (ledger.warnings.length > 0)
      return ledger.warnings.map((what) => ({
        area,
        level: 'warn',
        what,
        next: 'towpath start  # sets it aside and begins anew',
      }));
    return [{ area, level: 'ok', what: n === 0 ? 'nothing recorded yet' : plural(n, 'event'), next: '' }];
  } finally {
    ledger.close();
  }
}

export const doctorFailed = (findings: readonly Finding[]): boolean => findings.some((one) => one.level === 'error');

const MARKS = { ok: ['✓', 'good'], warn: ['!', 'care'], error: ['✗', 'bad'] } as const;

/** One line a finding, in aligned columns; what to do stands below it. */
export function renderDoctor(findings: readonly Finding[], on: Partial<Screen> = {}): string {
  const screen = fillScreen(on);
  const paint = paintOf(screen);
  const wide = Math.max(0, ...findings.map((one) => one.area.length));
  const lines = findings.flatMap(({ area, level, what, next }, i) => {
    const [mark, tone] = MARKS[level];
    const indent = ' '.repeat(wide + 4);
    const [first = '', ...more] = wrap(clean(what), Math.max(20, screen.width - indent.length));
    const name = findings[i - 1]?.area === area ? '' : area;
    return [
      `${paint.tone(tone, mark)} ${paint.bold(name)}${' '.repeat(wide - name.length)}  ${first}`,
      ...more.map((line) => `${indent}${line}`),
      ...(next ? [`${indent}${paint.dim('→')} ${clean(next)}`] : []),
    ];
  });
  const n = (level: Finding['level']) => findings.filter((one) => one.level === level).length;
  const parts = [n('error') ? plural(n('error'), 'error') : '', n('warn') ? plural(n('warn'), 'warning') : ''].filter(
    Boolean,
  );
  const verdict =
    parts.length === 0 ? paint.tone('good', 'all is well') : paint.tone(n('error') ? 'bad' : 'care', parts.join(', '));
  return [...lines, '', verdict].join('\n');
}

// The page of `towpath show`: headline, facts, why it is where it is, its runs with their evidence, what to do next.
import { divisionText } from '../../task/breakdown.ts';
import { findingLines } from '../../task/review.ts';
import type { Shown, ShownRun } from './show.ts';
import {
  clean,
  cleanLines,
  fillScreen,
  outcomeTone,
  type Paint,
  paintOf,
  queueTone,
  type Screen,
  truncate,
  wrap,
} from './style.ts';
import { table } from './table.ts';
import { dateTime, duration, money, relative, short, shortSha } from './words.ts';

const BODY_LINES = 12;
const OUTPUT_LINES = 10;
const FEEDBACK_LINES = 8;
const REVIEW_LINES = 20;
const RESULT_LINES = 20;
const PLAN_LINES = 200;
const QUESTION_LINES = 60;

export function renderShow(shown: Shown, on: Partial<Screen> = {}): string {
  const screen = fillScreen(on);
  const paint = paintOf(screen);
  const { task } = shown;
  const sections: [string, string[]][] = [
    ['', [...headLines(shown, screen, paint), ...factLines(shown, screen, paint)]],
    ['Question', task.question ? indented(task.question, screen, QUESTION_LINES) : []],
    ['Reason', task.reason && !task.question ? indented(task.reason, screen, 20) : []],
    ['Runs', runLines(shown.runs, screen, paint)],
    ['Health', healthLines(shown, screen, paint)],
    ['Checks', checkLines(shown.runs, screen, paint)],
    ['Patches', patchLines(shown, screen, paint)],
    ['Reviews', reviewLines(shown, screen, paint)],
    ['Feedback', feedbackLines(shown, screen, paint)],
    ['Plan', shown.plan ? indented(divisionText(shown.plan), screen, PLAN_LINES) : []],
    ['Result', shown.plan && typeof task.result === 'object' ? [] : resultLines(task.result, screen)],
    ['Task', indented(task.body, screen, BODY_LINES)],
    ['Next', shown.next.map((command) => `  ${paint.dim('→')} ${command}`)],
  ];
  return sections
    .filter(([, lines]) => lines.length > 0)
    .map(([title, lines]) => [...(title ? [paint.bold(title)] : []), ...lines].join('\n'))
    .join('\n\n');
}

function headLines({ task, phase }: Shown, screen: Screen, paint: Paint): string[] {
  const title = clean(task.title);
  const name = title === task.id ? '' : `  ${truncate(title, Math.max(10, screen.width - task.id.length - 2))}`;
  const state = [task.queue, phase, task.outcome === 'ok' ? null : task.outcome].filter(Boolean).join(', ');
  return [`${paint.bold(clean(task.id))}${name}`, paint.tone(queueTone(task.queue), `● ${state}`)];
}

function factLines({ task, runs, parent, workflow, subtasks, reviews }: Shown, screen: Screen, paint: Paint): string[] {
  const tokens = task.tokens
    ? task.tokens.input + task.tokens.output + task.tokens.cache_read + task.tokens.cache_write
    : 0;
  const time = (iso: string | null) => (iso ? `${dateTime(iso)} (${relative(iso, screen.now)})` : '');
  const reviewed = reviews.reduce((sum, { cost_usd }) => sum + (cost_usd ?? 0), 0);
  const depends = task.data['depends_on'];
  const facts: [string, string][] = [
    ['role', task.role ?? ''],
    ['agent', [task.agent, task.model].filter(Boolean).join(' ')],
    ['priority', task.priority ?? ''],
    [
      'depends on',
      Array.isArray(depends) ? depends.map(String).join(', ') : depends === undefined ? '' : String(depends),
    ],
    ['filed by', parent ?? ''],
    ['workflow', workflow ? `${workflow.run}, step "${clean(workflow.step)}"${itemText(workflow.item)}` : ''],
    ['subtasks', subtasks.map(({ id, queue }) => `${id} (${queue ?? 'gone'})`).join(', ')],
    ['branch', task.branch ? `${task.branch}${task.base ? ` from ${shortSha(task.base)}` : ''}` : ''],
    ['commit', shortSha(task.commit ?? '')],
    ['worktree', task.worktree ?? ''],
    ['pull request', task.pr ?? ''],
    ['session', task.session ?? ''],
    ['attempts', task.attempts > 0 || runs.length > 0 ? `${task.attempts} spent, ${runs.length} run` : ''],
    [
      'cost',
      [
        money(task.cost_usd) || (tokens > 0 ? 'unknown' : ''),
        tokens > 0 ? `${short(tokens)} tokens` : '',
        reviewed > 0 ? `and ${money(reviewed)} for reviews` : '',
      ]
        .filter(Boolean)
        .join(', '),
    ],
    ['created', time(task.created_at)],
    ['claimed', task.queue === 'claimed' ? time(task.claimed_at) : ''],
    ['finished', time(task.finished_at)],
    ['file', task.path],
  ];
  return table(
    facts.filter(([, value]) => value !== ''),
    [
      { head: '', cell: ([key]) => key, paint: paint.dim },
      { head: '', cell: ([, value]) => value, min: 20 },
    ],
    screen,
    { indent: 2, head: false },
  );
}

const itemText = (item: number | null): string => (item === null ? '' : `, item ${item}`);

function runLines(runs: readonly ShownRun[], screen: Screen, paint: Paint): string[] {
  return table(
    runs,
    [
      { head: 'run', cell: (run) => `#${run.attempt}`, paint: paint.bold },
      {
        head: 'outcome',
        cell: (run) => run.outcome ?? 'running',
        paint: (text, run) => paint.tone(outcomeTone(run.outcome), text),
      },
      { head: 'role', cell: (run) => run.role ?? '', drop: 5, paint: paint.dim },
      { head: 'agent', cell: (run) => [run.agent, run.model].filter(Boolean).join(' '), min: 6, drop: 3 },
      { head: 'time', cell: (run) => duration(run.duration_ms), align: 'right', drop: 2 },
      { head: 'cost', cell: (run) => money(run.cost_usd), align: 'right', drop: 4 },
      { head: 'tokens', cell: (run) => tokensOf(run), align: 'right', drop: 7 },
      { head: 'began', cell: (run) => relative(run.started_at, screen.now), drop: 6, paint: paint.dim },
      { head: 'reason', cell: reasonOf, min: 12, drop: 1, paint: paint.dim },
    ],
    screen,
    { indent: 2 },
  );
}

/** How the last run's processes do, or did when they were last seen; of one that ended well nobody asks. */
function healthLines({ runs }: Shown, screen: Screen, paint: Paint): string[] {
  const run = runs.at(-1);
  if (!run?.health || run.outcome === 'ok') return [];
  const { health } = run;
  const ago = (iso: string | null) => relative(iso, screen.now) || 'never';
  const silent = `last output ${ago(health.last_output)}${health.last_event ? ` (${clean(health.last_event)})` : ''}`;
  const tools = health.open_tools > 0 ? [`${health.open_tools} open tool call${health.open_tools > 1 ? 's' : ''}`] : [];
  const lines = [
    [silent, `last sign of life ${ago(health.last_sign)}`, ...tools],
    [
      `${health.processes} process${health.processes === 1 ? '' : 'es'}`,
      `${health.cpu_percent} % of a core`,
      `${short(health.rss_bytes)}B of memory`,
      `seen ${ago(health.seen_at)}`,
    ],
    [
      `in all ${duration(health.cpu_ms)} of processor`,
      `${short(health.io_bytes)}B of I/O`,
      `${short(health.switches)} context switches`,
    ],
  ];
  return lines.map((parts) => `  ${paint.dim(truncate(parts.join(', '), screen.width - 2))}`);
}

/** The agent's word may be "ok" and a check's another. */
function reasonOf(run: ShownRun): string {
  const failed = run.checks.filter((check) => !check.ok);
  return run.reason ?? (failed.length > 0 ? `did not pass: ${failed.map((check) => check.command).join(', ')}` : '');
}

function tokensOf({ tokens }: ShownRun): string {
  const sum = tokens ? tokens.input + tokens.output + tokens.cache_read + tokens.cache_write : 0;
  return sum > 0 ? short(sum) : '';
}

/** The evidence of the latest run that was checked; what failed shows the end of its output. */
function checkLines(runs: readonly ShownRun[], screen: Screen, paint: Paint): string[] {
  const run = runs.findLast((one) => one.checks.length > 0);
  if (!run) return [];
  return run.checks.flatMap((check) => {
    const how = [
      check.ok ? '' : check.code === null ? 'did not end by itself' : `exit ${check.code}`,
      duration(check.duration_ms),
    ];
    const facts = [
      `run ${run.attempt}`,
      check.by ? `named by the ${clean(check.by)}` : '',
      ...how,
      check.tree ? `tree ${clean(check.tree).slice(0, 8)}` : '',
      relative(check.at, screen.now),
    ];
    const said = facts.filter(Boolean).join(', ');
    const command = truncate(clean(check.command), Math.max(12, screen.width - said.length - 6));
    const mark = check.ok ? paint.tone('good', '✓') : paint.tone('bad', '✗');
    const output = check.ok ? [] : cleanLines(check.output).trim().split('\n').slice(-OUTPUT_LINES);
    return [
      `  ${mark} ${command}  ${paint.dim(said)}`,
      ...output
        .filter((line) => line !== '')
        .map((line) => `      ${paint.dim(truncate(line, Math.max(20, screen.width - 6)))}`),
    ];
  });
}

function patchLines({ fixes }: Shown, screen: Screen, paint: Paint): string[] {
  return fixes.flatMap(({ id, attempt, outcome, reason, files, cost_usd }) => {
    const mark = outcome === null ? '…' : outcome === 'helped' ? paint.tone('good', '✓') : paint.tone('bad', '✗');
    const facts = [`run ${attempt}`, outcome?.replace('_', ' ') ?? 'not tried yet', money(cost_usd)].filter(Boolean);
    const text = [reason, files.length > 0 ? `It changed ${files.join(', ')}` : ''].filter(Boolean).join('\n');
    const head = `  ${mark} ${clean(id)}  ${paint.dim(facts.join(', '))}`;
    return text ? [head, ...indented(text, screen, REVIEW_LINES, 4)] : [head];
  });
}

function reviewLines({ reviews }: Shown, screen: Screen, paint: Paint): string[] {
  return reviews.flatMap(
    ({ id, kind, role, attempt, queue, verdict, summary, findings, discarded, files, cost_usd }) => {
      const mark = verdict === null ? '…' : verdict === 'accept' ? paint.tone('good', '✓') : paint.tone('bad', '✗');
      const told = kind === 'test' && verdict ? (verdict === 'accept' ? 'passed' : 'not passed') : verdict;
      const facts = [id, `run ${attempt}`, told ?? `in ${queue ?? 'no queue'}`, money(cost_usd)].filter(Boolean);
      const text = [
        summary,
        ...findingLines(findings),
        files.length > 0 ? `Its tests are on the branch: ${files.join(', ')}` : '',
        discarded.length > 0 ? `It changed files, which were thrown away: ${discarded.join(', ')}` : '',
      ];
      return [
        `  ${mark} ${clean(role)}  ${paint.dim(truncate(facts.join(', '), Math.max(20, screen.width - role.length - 6)))}`,
        ...indented(text.filter(Boolean).join('\n'), screen, REVIEW_LINES, 4),
      ];
    },
  );
}

function feedbackLines({ task }: Shown, screen: Screen, paint: Paint): string[] {
  return task.feedback.flatMap((one) => {
    const run = one.attempt === undefined ? '' : `, run ${one.attempt}`;
    const head = `  from ${clean(one.from)}${run}, ${relative(one.at, screen.now)}`;
    return [paint.dim(truncate(head, screen.width)), ...indented(one.message, screen, FEEDBACK_LINES, 4)];
  });
}

function resultLines(result: unknown, screen: Screen): string[] {
  if (result === null || result === undefined) return [];
  const output = (result as { output?: unknown }).output;
  const text =
    typeof result === 'string'
      ? result
      : typeof output === 'string' && output !== ''
        ? output
        : JSON.stringify(result, null, 2);
  return indented(text, screen, RESULT_LINES);
}

/** Text of several lines, wrapped and cut to so many; what was cut is counted. */
function indented(text: string, screen: Screen, most: number, indent = 2): string[] {
  const trimmed = cleanLines(text).trim();
  if (trimmed === '') return [];
  const lines = wrap(trimmed, Math.max(20, screen.width - indent));
  const shown = lines.slice(0, most);
  if (lines.length > most) shown.push(`… ${lines.length - most} more lines`);
  return shown.map((line) => `${' '.repeat(indent)}${line}`.trimEnd());
}

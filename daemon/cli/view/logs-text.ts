// The lines of `towpath logs`: a small mark for each kind of event, long texts indented below it.
import { join } from 'node:path';
import type { AgentEvent } from '../../agents/port.ts';
import { headline, type Run, tail } from './runs.ts';
import { clean, cleanLines, outcomeTone, type Paint, paintOf, type Screen, truncate, wrap } from './style.ts';
import { duration, money, relative } from './words.ts';

/** What a tool gave back is shown by its first lines. */
const RESULT_LINES = 4;
const STDERR_LINES = 15;

/** An event as lines; none for what says nothing. */
export function eventLines(event: AgentEvent, screen: Screen, paint: Paint): string[] {
  switch (event.type) {
    case 'session':
      return [
        paint.dim(cutTo(`session ${clean(event.session)}${event.model ? `, ${clean(event.model)}` : ''}`, screen)),
      ];
    case 'tool_call':
      return [marked('→', 'busy', cutTo(headline(event), screen, 2), paint)];
    case 'tool_result': {
      const all = cleanLines(event.content)
        .split('\n')
        .filter((line) => line.trim() !== '');
      const shown = all.slice(0, RESULT_LINES).map((line) => cutTo(line, screen, 4));
      if (all.length > RESULT_LINES) shown.push(`… ${all.length - RESULT_LINES} more lines`);
      return shown.map((line) => `    ${event.is_error ? paint.tone('bad', line) : paint.dim(line)}`);
    }
    case 'agent_thought':
      return block('·', 'calm', event.content, screen, paint);
    case 'question':
      return block('?', 'care', event.content, screen, paint);
    case 'error':
      return block('✗', 'bad', event.content, screen, paint);
    case 'result':
      return block(event.success ? '✓' : '✗', event.success ? 'good' : 'bad', event.content, screen, paint);
    case 'log':
      return cleanLines(event.content)
        .split('\n')
        .filter((line) => line.trim() !== '')
        .map((line) => `  ${cutTo(line, screen, 2)}`);
  }
}

/** Above a run: who runs, since when. */
export function headLine(id: string, run: Run, screen: Screen): string {
  const who = [run.agent, run.model].filter(Boolean).join(' ');
  const text = [`run ${run.attempt}`, clean(who), relative(run.started_at, screen.now)].filter(Boolean).join(', ');
  const paint = paintOf(screen);
  return `${paint.bold(id)}  ${paint.dim(truncate(text, Math.max(10, screen.width - id.length - 2)))}`;
}

/** Below a run: how it ended; of one that did not end well also what it wrote to stderr. */
export function endLines(run: Run, screen: Screen): string[] {
  const paint = paintOf(screen);
  const { verdict } = run;
  if (!verdict) return run.ended ? [] : [paint.dim('still running: add -f to follow')];
  const facts = [duration(run.duration_ms), money(verdict.usage?.cost_usd), clean(verdict.reason)]
    .filter(Boolean)
    .join(', ');
  const end = `${paint.tone(outcomeTone(verdict.outcome), verdict.outcome)}  ${paint.dim(cutTo(facts, screen, verdict.outcome.length + 2))}`;
  return verdict.outcome === 'ok' ? [end] : [...stderrLines(run, screen, paint), end];
}

function stderrLines(run: Run, screen: Screen, paint: Paint): string[] {
  const lines = cleanLines(tail(join(run.dir, 'stderr'), 16_384).join('\n'))
    .split('\n')
    .slice(-STDERR_LINES);
  return lines.length > 0
    ? [paint.dim('stderr:'), ...lines.map((line) => `  ${paint.dim(cutTo(line, screen, 2))}`)]
    : [];
}

function block(
  mark: string,
  tone: 'calm' | 'care' | 'bad' | 'good',
  content: string,
  screen: Screen,
  paint: Paint,
): string[] {
  const text = cleanLines(content).trim();
  const [first = '', ...rest] = wrap(text, Math.max(20, screen.width - 2));
  return text === '' ? [] : [marked(mark, tone, first, paint), ...rest.map((line) => `  ${line}`.trimEnd())];
}

const marked = (mark: string, tone: 'calm' | 'care' | 'bad' | 'good' | 'busy', text: string, paint: Paint): string =>
  `${paint.tone(tone, mark)} ${text}`.trimEnd();

const cutTo = (text: string, screen: Screen, indent = 0): string => truncate(text, Math.max(10, screen.width - indent));

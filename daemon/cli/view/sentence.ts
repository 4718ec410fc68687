// An event as one quiet line: time, task, what happened. The same words live, in `start`, and later, in `events`.
import type { TowpathEvent } from '../../events.ts';
import type { LedgerEvent } from '../../ledger/terms.ts';
import { type Outcome, QUEUES, type Queue } from '../../task/terms.ts';
import { clean, outcomeTone, type Paint, queueTone, type Screen, truncate, widthOf } from './style.ts';
import { clockTime, duration, money, short } from './words.ts';

/** An event, live or recorded, in one shape. */
export type Fact = Pick<LedgerEvent, 'at' | 'event' | 'task' | 'data'>;

export function factOf(event: TowpathEvent): Fact {
  const { at, event: name, ...rest } = event;
  const { task = null, ...data } = rest as { task?: string | null };
  return { at, event: name, task, data };
}

type Part = string | [style: 'dim' | 'bold' | `tone:${'good' | 'bad' | 'care' | 'busy' | 'calm'}`, text: string];

/** One line; the id's column is as wide as `idWidth`, so that lines of one listing align. */
export function sentence(fact: Fact, screen: Screen, paint: Paint, idWidth: number): string {
  const id = truncate(clean(fact.task ?? ''), idWidth);
  const head = `${clockTime(fact.at)}  ${id}${' '.repeat(Math.max(0, idWidth - widthOf(id)))}  `;
  let room = screen.width - head.length;
  let text = '';
  for (const part of partsOf(fact)) {
    if (room <= 0) break;
    const [style, words] = typeof part === 'string' ? ['', part] : part;
    const lead = /^\s*/.exec(words)?.[0] ?? '';
    const cut = truncate(lead + clean(words) + (words.endsWith(' ') ? ' ' : ''), room);
    room -= widthOf(cut);
    if (style === 'dim') text += paint.dim(cut);
    else if (style === 'bold') text += paint.bold(cut);
    else if (style.startsWith('tone:')) text += paint.tone(style.slice(5) as 'good', cut);
    else text += cut;
  }
  return `${paint.dim(clockTime(fact.at))}  ${paint.bold(id)}${' '.repeat(Math.max(0, idWidth - widthOf(id)))}  ${text}`.trimEnd();
}

function partsOf({ event, data }: Fact): Part[] {
  const text = (key: string): string => (data[key] === undefined || data[key] === null ? '' : String(data[key]));
  const number = (key: string): number => (typeof data[key] === 'number' ? data[key] : 0);
  const aside = (words: string): Part[] => (words ? [['dim', `  ${words}`]] : []);
  switch (event) {
    case 'daemon_started':
      return [`towpath ${text('version')} started`, ...aside(`pid ${text('pid')}`)];
    case 'daemon_stopped':
      return ['stopped', ...aside(text('reason'))];
    case 'claiming_paused':
      return [['tone:care', 'claiming paused'], ...aside(text('reason'))];
    case 'agent_closed':
      return [
        ['tone:care', `${text('agent')} closed`],
        ...aside(text('until') ? `until ${text('until')}` : 'until "towpath resume"'),
      ];
    case 'agent_opened':
      return [['tone:good', `${text('agent')} is open again`]];
    case 'claiming_resumed':
      return [['tone:good', 'claiming goes on']];
    case 'settings_reloaded': {
      const list = (key: string) => (Array.isArray(data[key]) ? data[key].join(', ') : '');
      const fixed = list('after_restart');
      return [
        'settings reloaded',
        ...aside(list('changed') || (fixed ? '' : 'nothing changed')),
        ...(fixed ? [['tone:care', `  ${fixed}: takes effect after a restart`] satisfies Part] : []),
      ];
    }
    case 'transition': {
      const to = text('to');
      const tone = (QUEUES as readonly string[]).includes(to) ? queueTone(to as Queue) : 'calm';
      const why = [text('outcome'), text('reason')].filter((word) => word && word !== 'ok').join(': ');
      const from = text('from') === to ? '' : `${text('from') || 'new'} → `;
      return [from, [`tone:${tone}`, to], ...aside(why)];
    }
    case 'attempt_started': {
      const who = [text('agent'), text('model')].filter(Boolean).join(' ');
      return [
        `run ${text('attempt')} ${data['resumed'] === true ? 'goes on' : 'began'}`,
        ...aside(`${who} as ${text('role')}`),
      ];
    }
    case 'attempt_finished': {
      const tokens = number('input') + number('output') + number('cache_read') + number('cache_write');
      const used = [
        duration(number('duration_ms')),
        money(data['cost_usd'] as number | null),
        tokens > 0 ? `${short(tokens)} tokens` : '',
        text('reason'),
      ];
      return [
        `run ${text('attempt')} ended `,
        [`tone:${outcomeTone(text('outcome') as Outcome)}`, text('outcome')],
        ...aside(used.filter(Boolean).join(', ')),
      ];
    }
    case 'check_finished': {
      const ok = data['ok'] === true;
      const code = ok ? '' : data['code'] === null ? 'did not end by itself, ' : `exit ${text('code')}, `;
      return [
        [ok ? 'tone:good' : 'tone:bad', ok ? '✓ ' : '✗ '],
        text('command'),
        ...aside(
          (data['by'] === undefined ? '' : `named by the ${text('by')}, `) + code + duration(number('duration_ms')),
        ),
      ];
    }
    case 'helper_filed':
      return ['filed', ...aside(`${text('kind') === 'test' ? 'tests' : `a ${text('kind')}`} of ${text('parent')}`)];
    case 'test_finished': {
      const passed = text('outcome') === 'passed';
      return ['its tests ', [passed ? 'tone:good' : 'tone:care', text('outcome')], ...aside(text('reason'))];
    }
    case 'fix_finished': {
      const helped = text('outcome') === 'helped';
      return [
        'a patch ',
        [helped ? 'tone:good' : 'tone:care', text('outcome').replace('_', ' ')],
        ...aside(text('reason')),
      ];
    }
    case 'hook_finished': {
      const ok = data['ok'] === true;
      const said = ok ? text('decision') : 'failed';
      return [`hook ${text('hook') || text('moment')} `, [ok ? 'dim' : 'tone:bad', said], ...aside(text('reason'))];
    }
    case 'hook_output':
      return [['dim', `hook ${text('hook') || text('moment')}: `], text('text')];
    case 'operator_asked':
      return [['tone:care', 'asks you'], ...aside(text('reason'))];
    case 'agent_output':
      return [['dim', `${text('kind')}: `], text('text')];
    case 'warning':
      return [['tone:care', 'warning '], text('message')];
    default:
      return [event.replaceAll('_', ' '), ...aside(JSON.stringify(data))];
  }
}

/** A width for the ids of a listing that grows with what comes, within reason. */
export class IdColumn {
  #width = 8;
  /** The width for a line with this id. */
  fit(id: string | null): number {
    this.#width = Math.min(28, Math.max(this.#width, widthOf(clean(id ?? ''))));
    return this.#width;
  }
}

// The short way through plain front matter says what the YAML parser says, or nothing at all.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { LineCounter } from 'yaml';
import { parseTask } from '../../daemon/task/file.ts';
import { readYaml } from '../../daemon/task/frontmatter.ts';
import { readSimple } from '../../daemon/task/simple.ts';

/** What the parser says; undefined for what it refuses. */
function byYaml(source: string): Record<string, unknown> | undefined {
  const read = readYaml(source, new LineCounter());
  return 'problem' in read ? undefined : read.data;
}

const word = fc.constantFrom(
  ...[
    'a',
    'Null',
    'null',
    'true',
    'False',
    'yes',
    'no',
    'on',
    'y',
    'inf',
    'NaN',
    'e',
    'x-1',
    'a.b',
    "it's",
    'say "hi"',
    '(so)',
  ],
  ...[
    'Größe',
    '日本',
    'Кот',
    'ο',
    '0',
    '007',
    '1e3',
    '0x1F',
    '0o7',
    '12',
    '1.50',
    '.5',
    '1.',
    '-1',
    '+1',
    '1_000',
    '2026-11-21',
  ],
  ...[
    '12:30',
    'a: b',
    'a #b',
    '#c',
    '- d',
    '&e',
    '*f',
    '!g',
    '|',
    '>',
    '%h',
    '@i',
    '`j`',
    '{k}',
    '[l]',
    '[m, n]',
    '[o,p]',
    '[]',
    '[ q ]',
  ],
  ...[
    '"r"',
    "'s'",
    '"t',
    "u'",
    '""',
    "''",
    '"v\\n"',
    "'w''x'",
    '"tab\t"',
    'a,b',
    'a, b',
    '?',
    '? y',
    'z?',
    '~',
    '=',
    '<<',
    '…',
    'a\u00a0b',
  ],
);
const value = fc.oneof(
  word,
  fc.tuple(word, word).map((two) => two.join(' ')),
  fc.tuple(word, word).map((two) => `[${two.join(', ')}]`),
  fc.string({ maxLength: 12 }),
  fc.string({ unit: 'binary', maxLength: 6 }),
);
const key = fc.oneof(
  fc.constantFrom('title', 'priority', 'towpath', 'null', 'True', 'a-b', 'A', 'constructor', '__proto__'),
  word,
);
const space = fc.constantFrom('', '', '', ' ', '  ', '\t', '   ');
const line = fc.oneof(
  { weight: 6, arbitrary: fc.tuple(key, value).map(([k, v]) => `${k}: ${v}`) },
  { weight: 2, arbitrary: fc.tuple(key, space).map(([k, s]) => `${k}:${s}`) },
  { weight: 2, arbitrary: fc.tuple(space, key, value, space).map(([a, k, v, b]) => `${a}${k}: ${v}${b}`) },
  { weight: 2, arbitrary: fc.tuple(key, value).map(([k, v]) => `  ${k}: ${v}`) },
  { weight: 2, arbitrary: fc.tuple(space, value).map(([s, v]) => `${s}- ${v}`) },
  { weight: 2, arbitrary: value.map((v) => `  - ${v}`) },
  { weight: 1, arbitrary: fc.constantFrom('', '# note', '  # note', '...', '--- ', '%YAML 1.1', '\r', 'a: b\r') },
);

describe('readSimple', () => {
  it('never says anything else than the parser', () => {
    let said = 0;
    fc.assert(
      fc.property(fc.array(line, { maxLength: 6 }), fc.boolean(), (lines, ended) => {
        const source = lines.map((one) => `${one}\n`).join('') + (ended ? '' : 'last: one');
        const simple = readSimple(source);
        if (simple === undefined) return;
        said++;
        const full = byYaml(source);
        expect(full, source).toEqual(simple);
        expect(Object.keys(full!), source).toEqual(Object.keys(simple));
      }),
      { numRuns: 20_000 },
    );
    // One that always says nothing would be right as well, and of no use.
    expect(said).toBeGreaterThan(1000);
  });

  it.each([
    'title: Fix the date\npriority: P1\ncomplexity: minor\nmax_turns: 3\n',
    'depends_on: [a, b-2]\nid: x.y\nbudget_usd: 0.5\n',
    'depends_on:\n  - a\n  - b\nrole: tester\n',
    '# mine\ntitle: "Fix: the date"\n\nagent: shell\ntowpath:\n  queue: incoming\n  attempts: 1\n  not_before: "2026-11-21T10:00:00.000Z"\n',
    '',
  ])('says it for what people mostly write: %j', (source) => {
    expect(readSimple(source)).toEqual(byYaml(source));
    expect(readSimple(source)).toBeDefined();
  });

  it('leaves the line in a refusal', () => {
    const { refusal } = parseTask(Buffer.from('---\ntitle: A\npriority: P9\n---\nDo it.\n'));
    expect(refusal).toBe('priority: "P9" is not allowed: one of P0, P1, P2, P3 (line 3)');
  });
});

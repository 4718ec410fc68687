// Text for terminals: what is stripped, how wide it is, how tables give way, when there is colour.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { clean, cleanLines, paintOf, screenOf, truncate, widthOf, wrap } from '../../daemon/cli/view/style.ts';
import { table } from '../../daemon/cli/view/table.ts';
import { age, money, relative, shellWord, short } from '../../daemon/cli/view/words.ts';
import { ago, CONTROLS, ESCAPE, HOSTILE, NOW } from './view-fixtures.ts';

const screen = (width: number, color = false) => ({ width, color, now: NOW });

describe('clean', () => {
  it('leaves nothing that could play with a terminal, and keeps the words', () => {
    expect(clean(HOSTILE)).toBe('aredbcdefghijk l');
    expect(cleanLines('one\r\ntwo\tthree\x1b[1m  \nfour')).toBe('one\ntwo  three\nfour');
  });

  it.each([
    ['an unended title', 'a\x1b]0;evil', 'a'],
    ['a lone escape', 'a\x1b', 'a'],
    ['a reset', 'a\x1bcb', 'ab'],
    ['a character set', 'a\x1b(0b', 'ab'],
    ['half a sequence', 'a\x1b[12', 'a'],
    ['a lone surrogate', 'a\ud800b', 'a\ufffdb'],
    ['tag characters', 'a\u{e0041}\u{e007f}b', 'ab'],
  ])('%s', (_, text, kept) => expect(clean(text)).toBe(kept));

  it('holds for any text', () => {
    const pieces = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.constantFrom('\x1b[', '\x9b', '\x1b]', '\x07', '\x1b', '\r', '\u202e', HOSTILE),
    );
    fc.assert(
      fc.property(fc.array(pieces), (parts) => {
        const text = parts.join('');
        for (const one of [clean(text), cleanLines(text)]) if (CONTROLS.test(one) || one.includes(ESCAPE)) return false;
        return !clean(text).includes('\n');
      }),
    );
  });
});

describe('widths', () => {
  it.each([
    ['plain', 5],
    ['日本語', 6],
    ['🚀', 2],
    ['👩‍👩‍👧', 2],
    ['🇩🇪', 2],
    ['e\u0301', 1],
    ['한글', 4],
    ['…', 1],
    ['❤️', 2],
  ])('%s', (text, width) => expect(widthOf(text)).toBe(width));

  it('cuts to the columns there are', () => {
    expect(truncate('日本語', 5)).toBe('日本…');
    expect(truncate('日本語', 4)).toBe('日…');
    expect(truncate('abc', 3)).toBe('abc');
    expect(truncate('abcd', 3)).toBe('ab…');
    expect(truncate('abcd', 0)).toBe('');
    fc.assert(
      fc.property(
        fc.string({ unit: 'grapheme' }),
        fc.integer({ min: 0, max: 30 }),
        (text, width) => widthOf(truncate(clean(text), width)) <= width,
      ),
    );
  });

  it('wraps at blanks', () => expect(wrap('one two three\n\nfour', 7)).toEqual(['one two', 'three', '', 'four']));
});

describe('table', () => {
  const columns = [
    { head: 'ID', cell: (r: string[]) => r[0]!, paint: (text: string) => `<${text}>` },
    { head: 'N', cell: (r: string[]) => r[1]!, align: 'right' as const, drop: 1 },
    { head: 'TITLE', cell: (r: string[]) => r[2]!, min: 5 },
  ];
  const rows = [
    ['a', '1', 'short'],
    ['bbb', '20', 'a rather long title $& here'],
  ];

  it('aligns, and leaves no blanks at the end', () => {
    expect(table(rows, columns, screen(Number.POSITIVE_INFINITY))).toEqual([
      'ID    N  TITLE',
      '<a>     1  short',
      '<bbb>  20  a rather long title $& here',
    ]);
    expect(table([], columns, screen(80))).toEqual([]);
  });

  it('cuts what may be cut, then drops what may be dropped', () => {
    expect(table(rows, columns, screen(20))[2]).toBe('<bbb>  20  a rather l…');
    expect(table(rows, columns, screen(12))[2]).toBe('<bbb>  a rath…');
  });

  it('never is wider than the screen, whatever it holds', () => {
    const cells = fc.tuple(fc.string({ unit: 'grapheme' }), fc.string(), fc.string({ unit: 'binary' }));
    fc.assert(
      fc.property(fc.array(cells, { maxLength: 6 }), fc.integer({ min: 5, max: 60 }), (data, width) => {
        const plain = columns.map(({ paint: _, ...column }) => column);
        return table(data, plain, screen(width)).every((line) => widthOf(line) <= width && !CONTROLS.test(line));
      }),
    );
  });

  it('leaves out a column that says nothing', () => {
    expect(table([['a', '', 'x']], columns, screen(80))).toEqual(['ID  TITLE', '<a>   x']);
  });
});

describe('colour', () => {
  const tty = { isTTY: true, columns: 100 };
  it('is for terminals alone, and never with NO_COLOR, a dumb terminal or --json', () => {
    expect(screenOf(tty, { env: {} })).toMatchObject({ color: true, width: 100 });
    expect(screenOf(tty, { env: { NO_COLOR: '1' } }).color).toBe(false);
    expect(screenOf(tty, { env: { TERM: 'dumb' } }).color).toBe(false);
    expect(screenOf(tty, { env: {}, json: true }).color).toBe(false);
    expect(screenOf({}, { env: {} })).toMatchObject({ color: false, width: Number.POSITIVE_INFINITY });
    expect(paintOf({ color: false }).tone('bad', 'x')).toBe('x');
    expect(paintOf({ color: true }).bold('x')).toBe('\x1b[1mx\x1b[22m');
  });
});

it('says figures as people do', () => {
  expect([
    relative(ago(200_000), NOW),
    relative(ago(-300_000), NOW),
    relative(ago(0), NOW),
    relative('nonsense', NOW),
    relative(null, NOW),
  ]).toEqual(['3m ago', 'in 5m', 'just now', '', '']);
  expect([age(ago(30_000), NOW), age(ago(90 * 3_600_000), NOW)]).toEqual(['30s', '3d']);
  expect([money(1.234), money(0.001), money(0), money(null)]).toEqual(['$1.23', '<$0.01', '$0.00', '']);
  expect([short(950), short(1234), short(34_000), short(3_400_000)]).toEqual(['950', '1.2k', '34k', '3.4M']);
  expect([shellWord('fix-date'), shellWord("a b'c"), shellWord('$(x)')]).toEqual(['fix-date', `'a b'\\''c'`, "'$(x)'"]);
});

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Document } from 'yaml';
import { MAX_BYTES, parseTask, placed, stateOfHead, titleOf, withState } from '../../daemon/task/file.ts';
import type { State } from '../../daemon/task/terms.ts';

const parse = (text: string) => parseTask(Buffer.from(text));
const write = (text: string, state: State) => Buffer.from(withState(Buffer.from(text), state)).toString();

describe('reading', () => {
  it('takes a file without frontmatter as a task', () => {
    const task = parse('# Fix it\n\nplease\n');
    expect(task.refusal).toBeNull();
    expect(task.body).toBe('# Fix it\n\nplease\n');
    expect(titleOf(task)).toBe('Fix it');
  });

  it.each([
    ['```sh\n# install\n```\n## Mend it ##\n', 'Mend it'],
    ['~~~~\n```\n~~~\n# no\n~~~~\n   # Yes\r\n', 'Yes'],
    ['Mend it\n=======\n# Later\n', 'Mend it'],
    ['one\r\n\r\n---\r\nTwo\r\n---\r\n', 'Two'],
    ['- item\n---\n    # code\n#tag\n# C#\n', 'C#'],
    ['```sh\n# never closed\n', null],
  ])('takes the first heading for the title: %j', (text, title) => {
    expect(titleOf(parse(text))).toBe(title);
  });
  it('is read at once, whatever it is made of', () => {
    const keys = Array.from({ length: 60_000 }, (_, at) => `k${at}: 'ü'\n`).join('');
    expect(Object.keys(parse(`---\n${keys}---\nbody`).data)).toHaveLength(60_000);
    const blocks = '---\ntowpath:\n  wrapped: true\n---\n'.repeat(30_000);
    expect(parse(`${blocks}body`)).toMatchObject({ refusal: null, state: { wrapped: true } });
  });
  it('finds the title at once, whatever a long line holds', () => {
    const gaps = `a${' '.repeat(20_000)}b${' #'.repeat(20_000)}c`;
    expect(titleOf(parse(`# ${gaps} ##\n`))).toBe(gaps);
    expect(titleOf(parse(`# ${'#'.repeat(20_000)}c\n`))).toBe(`${'#'.repeat(20_000)}c`);
  });

  it.each([
    ['bad YAML', '---\na: [\n---\nbody', /line \d+: bad YAML/],
    ['JavaScript', '---js\nmodule.exports = {}\n---\nbody', /line 1: .*not YAML/],
    ['JSON front matter', '---json\n{}\n---\nbody', /line 1: .*not YAML/],
    ['TOML', '+++\na = 1\n+++\nbody', /line 1: .*TOML/],
    ['no closing line', '---\na: 1\nbody', /line 1: .*not closed/],
    ['a list', '---\n- a\n---\nbody', /no "key: value"/],
    [
      'a wrong value',
      '---\n\npriority: P9\n---\nbody',
      /^priority: "P9" is not allowed: one of P0, P1, P2, P3 \(line 3\)$/,
    ],
    [
      'a wrong type',
      '---\ndepends_on: other\n---\nbody',
      /^depends_on: "other" is not allowed: write a list \(line 2\)$/,
    ],
    ['a wrong item', '---\ndepends_on: [ok, "../x"]\n---\nbody', /depends_on\.1: "\.\.\/x" is not allowed/],
    ['a unit that is missing', '---\ntimeout: "10"\n---\nbody', /timeout: "10" is not allowed: a duration/],
    ['a title of another type', '---\ntitle: [a]\n---\nbody', /^title: \["a"\] is not allowed: a text \(line 2\)$/],
    ['a number out of range', '---\ntemperature: -1\n---\nbody', /^temperature: -1 .*from 0 to 2 \(line 2\)$/],
    ['half a turn', '---\nmax_turns: 1.5\n---\nbody', /^max_turns: 1.5 .*write a whole number/],
    ['outputs of another type', '---\noutputs: 5\n---\nbody', /^outputs: 5 is not allowed: a list of names, or a map/],
    ['an unsafe id', '---\nid: ../../etc\n---\nbody', /^id: /],
    ['an id that git takes for no branch', '---\nid: a..b\n---\nbody', /^id: /],
    ['a base that is an option', '---\nbase: --upload-pack=x\n---\nbody', /^base: /],
    ['a NUL in an escape', '---\nchecks:\n  - [a, "b\\0"]\n---\nbody', /^checks: a NUL is not allowed \(line 2\)$/],
    ['a key twice', '---\na: 1\nb: {c: 1, c: 2}\n---\nbody', /^line 3: bad YAML: Map keys must be unique$/],
    ['an empty body', '---\ntitle: x\n---\n \n\n', /body is empty/],
    ['an empty file', '', /body is empty/],
    ['a NUL', 'a\0b', /NUL/],
    ['two documents', '---\na: 1\n...\nb: 2\n---\nbody', /line/],
    ['the same key twice', '---\na: 1\na: 2\n---\nbody', /line 3/],
    ['an unknown tag', '---\na: !!js/function "x"\n---\nbody', /line 2/],
  ])('refuses %s', (_what, text, reason) => {
    expect(parse(text).refusal).toMatch(reason);
  });

  it('refuses invalid UTF-8 and files over 1 MiB', () => {
    expect(parseTask(Buffer.from([0x61, 0xff, 0xfe])).refusal).toMatch(/UTF-8/);
    expect(parseTask(Buffer.alloc(1024 * 1024 + 1, 0x61)).refusal).toMatch(/1 MiB/);
  });

  it('counts what is the user’s alone, however much Towpath wrote into the file', () => {
    const state: State = { queue: 'incoming', attempts: 1, reason: 'r'.repeat(1000) };
    for (const head of ['', '---\npriority: P1\n---\n', '---\r\n# mine\r\nx: 1\r\n---\r\n', '---\n{x: 1}\n---\n']) {
      const full = (more: number) => Buffer.from(head + 'x'.repeat(MAX_BYTES - head.length + more));
      expect(parseTask(full(0)).refusal).toBeNull();
      expect(parseTask(withState(full(0), state))).toMatchObject({ refusal: null, state: { attempts: 1 } });
      expect(parseTask(withState(full(100), state)).refusal).toMatch(/larger than 1 MiB/);
    }
    const huge = withState(Buffer.alloc(3 * MAX_BYTES, 0x61), state);
    expect(stateOfHead(huge.subarray(0, 4096))).toMatchObject(state);
  });

  it('tells the line of a reason that is found out later', () => {
    const file = Buffer.from('---\n# a\nrole: nobody\nmcp:\n  x: 5\n---\nbody');
    expect(placed('role: "nobody" does not exist', file)).toBe('role: "nobody" does not exist (line 3)');
    expect(placed('mcp.x: 5 is not allowed', file)).toBe('mcp.x: 5 is not allowed (line 4)');
    expect(placed('agent: "x" does not exist', file)).toBe('agent: "x" does not exist');
    expect(placed('the body is empty', file)).toBe('the body is empty');
  });

  it('refuses an alias bomb quickly', () => {
    const rows = ['a: &a [x,x,x,x,x,x,x,x,x]'];
    for (const [at, key] of [...'bcdefgh'].entries())
      rows.push(`${key}: &${key} [${Array(9).fill(`*${'abcdefg'[at]}`).join(',')}]`);
    expect(parse(`---\n${rows.join('\n')}\n---\nbody`).refusal).toMatch(/alias/i);
  });

  it('does not evaluate code, whatever the first line says', () => {
    for (const language of ['js', 'javascript', 'coffee', ' js', 'JS']) {
      expect(parse(`---${language}\nglobalThis.evaluated = true\n---\nbody`).refusal).not.toBeNull();
    }
    expect((globalThis as { evaluated?: boolean }).evaluated).toBeUndefined();
  });

  it('reads the same bad file the same way twice', () => {
    const text = '---\na: "\n---\nbody';
    expect(parse(text).refusal).toEqual(parse(text).refusal);
  });
});

const frontmatter = fc.dictionary(
  fc
    .stringMatching(/^[a-z_]{1,10}$/)
    .filter((key) => !['towpath', 'id', 'title', 'role', 'base', 'agent'].includes(key)),
  fc.oneof(
    fc.string({ unit: 'grapheme' }),
    fc.integer(),
    fc.boolean(),
    fc.constant(null),
    fc.array(fc.string()),
    fc.dictionary(fc.stringMatching(/^[a-z]+$/), fc.string()),
  ),
  { maxKeys: 6 },
);
const yamlText = fc
  .tuple(frontmatter, fc.constantFrom(40, 80, 0), fc.constantFrom('', '# a comment\n', '\n'))
  .map(
    ([data, lineWidth, tail]) => (Object.keys(data).length ? new Document(data).toString({ lineWidth }) : '') + tail,
  );
const body = fc
  .string({ unit: 'grapheme' })
  .filter((text) => !/^(---|\+\+\+|\ufeff)/.test(text) && !text.includes('\0'));
const state: fc.Arbitrary<State> = fc.record(
  {
    queue: fc.constantFrom('incoming', 'done', 'failed'),
    reason: fc.string({ unit: 'grapheme' }),
    attempts: fc.nat(),
    feedback: fc.array(
      fc.record({
        from: fc.constantFrom('check', 'human'),
        message: fc.string({ unit: 'grapheme' }),
        at: fc.constant('2026-01-01T00:00:00.000Z'),
      }),
      { maxLength: 3 },
    ),
    result: fc.jsonValue(),
  },
  { requiredKeys: [] },
) as fc.Arbitrary<State>;

describe('writing `towpath:`', () => {
  it('keeps every other byte of any frontmatter and any body', () => {
    fc.assert(
      fc.property(
        yamlText,
        body,
        state,
        state,
        fc.constantFrom('\n', '\r\n'),
        fc.boolean(),
        (matter, text, first, second, eol, bom) => {
          const original = `${bom ? '\ufeff' : ''}---\n${matter}---\n`.replaceAll('\n', eol) + text;
          const before = parse(original);
          const once = write(original, first);
          const twice = write(once, second);
          for (const [written, told] of [
            [once, first],
            [twice, second],
          ] as const) {
            const after = parse(written);
            expect(after.body).toBe(before.body);
            expect(after.data).toEqual(before.data);
            expect(after.refusal).toBe(before.refusal);
            const { wrapped: _, ...read } = after.state;
            expect(read).toEqual(JSON.parse(JSON.stringify(told)));
          }
          // What is not ours is there in the same order, byte for byte: with our lines taken out, the original is left.
          if (!parse(twice).state.wrapped) expect(withoutOurs(twice)).toBe(withoutOurs(original));
          else expect(twice.endsWith(original)).toBe(true);
        },
      ),
      { numRuns: 400 },
    );
  });

  it('gives a file without frontmatter a block of its own, and the body stays', () => {
    fc.assert(
      fc.property(body, state, (text, told) => {
        const written = write(text, told);
        expect(written.endsWith(text)).toBe(true);
        expect(parse(written).body).toBe(text);
      }),
    );
  });

  it('never fails, whatever the bytes, and the original comes back', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.uint8Array({ maxLength: 300 }),
          fc.string().map((s) => Buffer.from(`---\n${s}`)),
          fc
            .string({
              unit: fc.constantFrom('-', '\n', ':', ' ', '{', '[', '&', '*', '|', '>', '"', 'a', '#', '\r', '\t'),
            })
            .map((s) => Buffer.from(`---\n${s}\n---\n`)),
        ),
        state,
        (bytes, told) => {
          const before = parseTask(bytes);
          const written = withState(bytes, told);
          const after = parseTask(written);
          expect(after.body).toBe(before.body);
          expect(after.data).toEqual(before.data);
          const again = withState(withState(written, {}), told);
          expect(Buffer.from(again).equals(Buffer.from(written))).toBe(true);
        },
      ),
      { numRuns: 500 },
    );
  });

  it('keeps comments, order and odd styles', () => {
    const text =
      '---\n# first\nrole:   tester   # why not\n\nx_list: [ a,\n  b ]\ntowpath:\n  queue: failed\n# after\ntext: |\n  a\n\n  b\n---\nbody\n';
    const written = write(text, { queue: 'done', reason: 'a: "b"\nc' });
    expect(withoutOurs(written)).toBe(withoutOurs(text));
    expect(parse(written).state).toEqual({ queue: 'done', reason: 'a: "b"\nc' });
  });
});

/** The text without the lines of the `towpath:` block. */
function withoutOurs(text: string): string {
  return text.replace(/^towpath:[^\n]*\n([ \t]+\S[^\n]*\n)*/m, '');
}

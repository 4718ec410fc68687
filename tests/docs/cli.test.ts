// Holds docs/cli.md and the README's table to the command line: every command, every option, every key of its JSON.
import { beforeAll, describe, expect, it, vi } from 'vitest';
import { main } from '../../daemon/cli/program.ts';
import { shellTask, TestWorkspace } from '../helpers/workspace.ts';
import { blocksOf, DOCUMENTS, read, rowsOf, sectionOf } from './read.ts';

interface Option {
  short: string | undefined;
  long: string;
}

interface Command {
  name: string;
  /** As in `list [queue]`. */
  usage: string;
  options: Option[];
}

async function help(...args: string[]): Promise<string> {
  let text = '';
  const write = vi.spyOn(process.stdout, 'write').mockImplementation((chunk) => {
    text += String(chunk);
    return true;
  });
  try {
    expect(await main([...args, '--help'], '0.0.0')).toBe(0);
  } finally {
    write.mockRestore();
  }
  return text;
}

const part = (text: string, head: string): string =>
  new RegExp(`^${head}:\\n((?: .*\\n?)*)`, 'm').exec(text)?.[1] ?? '';

const optionsIn = (text: string): Option[] =>
  [...part(text, 'Options').matchAll(/^ {2}(?:(-\w), )?(--[\w-]+)/gm)].map(([, short, long]) => ({
    short,
    long: long!,
  }));

const doc = read('docs/cli.md');
const program: { options: Option[]; commands: Command[] } = { options: [], commands: [] };

beforeAll(async () => {
  const text = await help();
  program.options = optionsIn(text);
  const names = [...part(text, 'Commands').matchAll(/^ {2}(\w[\w-]*)/gm)].map((found) => found[1]!);
  for (const name of names) {
    if (name === 'help') continue;
    const own = await help(name);
    const usage = /^Usage: towpath (.*)$/m.exec(own)![1]!.replace(' [options]', '');
    program.commands.push({ name, usage, options: optionsIn(own) });
  }
});

describe('docs/cli.md', () => {
  it('has every command with its arguments, and no other', () => {
    expect(program.commands.length).toBeGreaterThan(20);
    const told = [...doc.matchAll(/^## `towpath ([^`]+)`$/gm)].map((found) => found[1]!);
    expect(told.sort()).toEqual(['help [command]', ...program.commands.map(({ usage }) => usage)].sort());
  });

  it('has every option of every command, and no other', () => {
    const common = program.options.map(({ long }) => long);
    for (const { name, usage, options } of program.commands) {
      const text = sectionOf(doc, `## \`towpath ${usage}\``);
      const own = options.filter(({ long }) => !common.includes(long));
      const told = rowsOf(text).flatMap(([first]) => /`(--[\w-]+)/.exec(first ?? '')?.[1] ?? []);
      expect(told.sort(), name).toEqual(own.map(({ long }) => long).sort());
      for (const { short, long } of own) if (short) expect(text, name).toContain(`\`${short}\`, \`${long}`);
    }
  });

  it('has the options that every command takes', () => {
    const top = doc.slice(0, doc.indexOf('\n## '));
    for (const { short, long } of program.options) {
      expect(top).toContain(`${long}`);
      if (short) expect(top).toContain(`\`${short}\``);
    }
  });
});

describe('README.md', () => {
  it('has every command in its table, and no other', () => {
    const told = rowsOf(sectionOf(read('README.md'), '## The commands')).flatMap(
      ([first]) => /^`towpath ([^`]+)`$/.exec(first ?? '')?.[1] ?? [],
    );
    expect(told.sort()).toEqual(program.commands.map(({ usage }) => usage).sort());
  });
});

describe('the documents', () => {
  it.each(DOCUMENTS)('%s calls only commands and options that exist', (path) => {
    const scripts = blocksOf(read(path)).filter(({ language }) => language === 'sh');
    for (const { text, line } of scripts)
      for (const [call, name, rest] of text.matchAll(/(?<![\w./-])towpath ([a-z]+)([^|&;\n]*)/g)) {
        const command = program.commands.find((one) => one.name === name);
        expect(command, `line ${line}: ${call}`).toBeDefined();
        const known = command!.options.flatMap(({ short, long }) => [short, long]);
        for (const [option] of rest!.replace(/"[^"]*"/g, '').matchAll(/(?<=\s)--?[a-z][\w-]*/g))
          expect(known, `line ${line}: ${call}`).toContain(option);
      }
  });
});

describe('JSON', () => {
  const keysOf = (value: unknown): string[] => {
    if (Array.isArray(value)) return value.flatMap(keysOf);
    if (typeof value !== 'object' || value === null) return [];
    return Object.keys(value);
  };

  it('has every key that the commands print in docs/cli.md', { timeout: 60_000 }, async () => {
    const ws = new TestWorkspace();
    try {
      ws.drop('one', shellTask('echo 1 > one', 'checks: ["true"]\n'));
      ws.drop('two', shellTask('false', 'max_attempts: 1\n'));
      ws.drop('three', shellTask('true', 'depends_on: [never]\n'));
      ws.drain();
      const extra = ws.file('four.md', '# Four\n');
      const calls: [string, string[]][] = [
        ['list [queue]', ['list']],
        ['show <id>', ['show', 'one']],
        ['why <id>', ['why', 'two']],
        ['status', ['status']],
        ['stats', ['stats']],
        ['validate <files...>', ['validate', extra]],
        ['enqueue <files...>', ['enqueue', extra]],
        ['init [dir]', ['init', ws.root]],
      ];
      for (const [usage, args] of calls) {
        const printed = ws.json(args);
        const text = usage.startsWith('show') ? doc : sectionOf(doc, `## \`towpath ${usage}\``);
        for (const key of keysOf(printed)) expect(text, `${args[0]}: ${key}`).toMatch(new RegExp(`["\`]${key}["\`]`));
      }
      const status = ws.json<Record<string, unknown>>(['status']);
      for (const key of keysOf(Object.values(status).filter((one) => typeof one === 'object')))
        if (key !== 'incoming' && !/^(claimed|provisional|done|blocked|failed)$/.test(key))
          expect(sectionOf(doc, '## `towpath status`')).toContain(`"${key}"`);
      const findings = JSON.parse(ws.run(['doctor', '--json']).stdout) as object[];
      for (const key of keysOf(findings)) expect(sectionOf(doc, '## `towpath doctor`')).toContain(`"${key}"`);
      const events = ws.run(['events', '--json']).stdout.trim().split('\n');
      expect(events.length).toBeGreaterThan(5);
      for (const line of events) {
        const { event } = JSON.parse(line) as { event: string };
        expect(sectionOf(doc, '## `towpath events`')).toContain(`\`${event}\``);
      }
    } finally {
      await ws.close();
    }
  });

  it('has every event', () => {
    const source = read('daemon/events.ts');
    const map = source.slice(source.indexOf('interface EventMap {'), source.indexOf('\n}\n'));
    const names = [...map.matchAll(/^ {2}(\w+):/gm)].map((found) => found[1]!);
    expect(names.length).toBeGreaterThan(10);
    for (const name of names) expect(sectionOf(doc, '## `towpath events`')).toContain(`\`${name}\``);
  });
});

// The text of a service: any path comes back as it was, in both forms, and the tools that know the forms have nothing to say.
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { FIXED_KEYS } from '../../daemon/reload.ts';
import { differences, render, type Service, serviceName } from '../../daemon/service/unit.ts';
import { missing } from '../helpers/systemd.ts';
import { tempDir } from '../helpers/workspace.ts';

const service = (more: Partial<Service> = {}): Service => ({
  form: 'systemd',
  scope: 'user',
  name: 'towpath-x-12345678',
  workspace: '/home/me/x',
  node: process.execPath,
  program: '/opt/towpath/daemon/towpath.js',
  path: '/usr/bin:/bin',
  environment: '/home/me/.config/towpath/env',
  user: 'root',
  log: '/tmp/log',
  ...more,
});

/** A path of anything but control characters, with those that mean something to systemd, sh or XML more often. */
const awkward = fc.constantFrom(
  ...' %$"\'\\;#&<>[]*?{}!-@:~`|=,ünï日🚢'.split(''),
  '%h',
  '%%',
  '$HOME',
  '$'.concat('{X}'),
  '$$',
  '\\n',
  ']]>',
  '-->',
  '--',
);
const letter = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 1 });
const name = fc
  .array(fc.oneof(awkward, letter), { minLength: 1, maxLength: 12 })
  .map((parts) => parts.join(''))
  .filter((text) => !/[/\p{Cc}\ufffd\ufffe\uffff]/u.test(text) && text.isWellFormed() && !/^\.\.?$/.test(text));
const path = fc.array(name, { minLength: 1, maxLength: 3 }).map((names) => `/${names.join('/')}`);

/** What systemd.syntax(7) says of lines. */
function linesOf(text: string): Map<string, string[]> {
  const found = new Map<string, string[]>();
  for (const line of text.replaceAll('\\\n', ' ').split('\n')) {
    if (/^[#;]/.test(line) || !line.includes('=') || line.startsWith('[')) continue;
    const at = line.indexOf('=');
    const key = line.slice(0, at);
    found.set(key, [...(found.get(key) ?? []), line.slice(at + 1).trim()]);
  }
  return found;
}

/** What it says of quotes, and of escapes in them. */
function wordsOf(value: string): string[] {
  const words: string[] = [];
  let rest = value.trimStart();
  while (rest) {
    let word = '';
    let quote = '';
    let at = 0;
    for (; at < rest.length; at++) {
      const c = rest[at]!;
      if (c === '\\') word += rest[++at];
      else if (quote === c) quote = '';
      else if (quote) word += c;
      else if (c === '"' || c === "'") quote = c;
      else if (/\s/.test(c)) break;
      else word += c;
    }
    expect(quote).toBe('');
    words.push(word);
    rest = rest.slice(at).trimStart();
  }
  return words;
}
const specified = (text: string): string => {
  expect(text.replaceAll('%%', '').replaceAll('%n', '')).not.toContain('%');
  return text.replaceAll('%%', '%');
};
const substituted = (text: string): string => {
  expect(text.replaceAll('$$', '')).not.toContain('$');
  return text.replaceAll('$$', '$');
};

/** Strings after their keys; strict about what must not stand in XML. */
function stringsOf(xml: string): string[] {
  const body = xml.replace(/<!--(?:(?!--)[\s\S])*-->/g, '');
  expect(body).not.toMatch(
    /&(?!(amp|lt|gt);)|<(?!\/?(plist|dict|key|string|array|integer|true|false|!DOCTYPE|\?xml)\b)/,
  );
  const open: string[] = [];
  for (const [, close, tag, self] of body.matchAll(/<(\/?)([a-z]+)[^>]*?(\/?)>/g)) {
    if (self) continue;
    if (close) expect(open.pop()).toBe(tag);
    else open.push(tag!);
  }
  expect(open).toEqual([]);
  return [...body.matchAll(/<string>([^<]*)<\/string>/g)].map((found) =>
    found[1]!.replaceAll('&lt;', '<').replaceAll('&gt;', '>').replaceAll('&amp;', '&'),
  );
}

describe('a unit of systemd', () => {
  it('says every path as it is', () => {
    fc.assert(
      fc.property(
        path,
        path,
        path,
        path,
        fc.constantFrom('user' as const, 'system' as const),
        (workspace, node, program, bin, scope) => {
          const lines = linesOf(render(service({ workspace, node, program, path: `${bin}:/bin`, scope })));
          const one = (key: string) => {
            expect(lines.get(key)).toHaveLength(1);
            return lines.get(key)![0]!;
          };
          const [first, ...args] = wordsOf(one('ExecStart')).map(specified);
          expect([first, ...args.map(substituted)]).toEqual([node, '--max-semi-space-size=2', program, 'start']);
          expect(wordsOf(one('ExecStop')).map(specified).map(substituted).slice(-4)).toEqual([
            'sh',
            node,
            program,
            'stop',
          ]);
          expect(specified(one('WorkingDirectory')).replace(/\/$/, '')).toBe(workspace);
          expect(lines.get('Environment')!.map((value) => wordsOf(value).map(specified))).toEqual([
            [`TOWPATH_WORKSPACE=${workspace}`],
            [`PATH=${bin}:/bin`],
          ]);
          if (scope === 'system') expect(wordsOf(one('RequiresMountsFor')).map(specified)).toEqual([workspace]);
        },
      ),
      { numRuns: 500 },
    );
  });

  const tools = missing('systemd-analyze');
  if (tools.length > 0) it.skip(`is not verified: there is no ${tools}`);
  describe.runIf(tools.length === 0)('for systemd-analyze', () => {
    const dir = tempDir('towpath-units-');
    afterAll(() => spawnSync('rm', ['-r', dir]));
    const write = (scope: 'user' | 'system', more: Partial<Service> = {}) => {
      const program = join(dir, 'towpath.js');
      writeFileSync(program, '');
      const file = join(dir, `towpath-${scope}.service`);
      writeFileSync(file, render(service({ scope, program, workspace: dir, ...more })));
      return file;
    };
    const analyze = (...args: string[]) => {
      const { status, stdout, stderr } = spawnSync('systemd-analyze', args, {
        encoding: 'utf8',
        env: { ...process.env, LC_ALL: 'C', XDG_RUNTIME_DIR: dir },
      });
      return { status, out: stdout + stderr };
    };

    it.each(['user', 'system'] as const)('is a right one (%s)', (scope) => {
      const odd = join(dir, 'a b%h $X "q" ünï');
      mkdirSync(odd, { recursive: true });
      for (const workspace of [dir, odd]) {
        const file = write(scope, { workspace });
        const { status, out } = analyze('verify', '--man=no', '--recursive-errors=no', `--${scope}`, file);
        expect(out.split('\n').filter((line) => line.includes(file) || line.includes('towpath-'))).toEqual([]);
        expect(status).toBe(0);
      }
    });

    it('is found wrong when it is', () => {
      const file = write('user');
      writeFileSync(file, readFileSync(file, 'utf8').replace('KillMode=process', 'KillMod=process'));
      expect(analyze('verify', '--man=no', '--user', file).out).toContain('KillMod');
    });

    it.each([
      ['user', 8.0],
      ['system', 5.5],
    ] as const)('is exposed no more than it has to be (%s, at most %f)', (scope, most) => {
      const { out } = analyze('security', '--offline=true', '--no-pager', write(scope, { user: 'nobody' }));
      const told = /Overall exposure level for .*: ([\d.]+)/.exec(out);
      expect(told, out).not.toBeNull();
      expect(Number(told![1])).toBeLessThanOrEqual(most);
    });
  });
});

describe('a property list of launchd', () => {
  const launchd = (more: Partial<Service>) => render(service({ form: 'launchd', ...more }));
  it('says every path as it is', () => {
    fc.assert(
      fc.property(path, path, path, path, (workspace, node, program, environment) => {
        const strings = stringsOf(launchd({ workspace, node, program, environment }));
        expect(strings.slice(3, 9)).toEqual([
          expect.stringContaining('exec "$@" start'),
          environment,
          node,
          '--max-semi-space-size=2',
          program,
          workspace,
        ]);
        expect(strings[9]).toBe(workspace);
      }),
      { numRuns: 500 },
    );
  });

  const tools = missing('plistutil');
  if (tools.length > 0) it.skip(`is not linted: there is no ${tools} (libplist-utils)`);
  it.runIf(tools.length === 0).each(['user', 'system'] as const)('is a right one for plistutil (%s)', (scope) => {
    const lint = (input: string) => spawnSync('plistutil', ['-i', '-', '-f', 'bin'], { input });
    const text = launchd({ scope, workspace: '/a b&<c>/"ünï"' });
    const { status, stdout } = lint(text);
    expect([status, stdout.subarray(0, 6).toString()]).toEqual([0, 'bplist']);
    expect(lint(text.replace('</dict>', '')).stdout.subarray(0, 6).toString()).not.toBe('bplist');
    expect(text.includes('UserName')).toBe(scope === 'system');
  });
  it('runs its program after a look at the settings, and is content where a start would be refused', () => {
    const script = stringsOf(launchd({}))[3]!;
    const dir = tempDir('towpath-plist-');
    const env = join(dir, 'env');
    writeFileSync(env, 'SECRET="a b"\n');
    const agent = join(dir, 'fake');
    writeFileSync(agent, '#!/bin/sh\necho "$1 $SECRET"; [ "$1" = start ] && exit 7; exit "$STATUS"\n', { mode: 0o755 });
    const run = (STATUS: string, file = env) => {
      const { status, stdout } = spawnSync('/bin/sh', ['-c', script, file, agent], {
        encoding: 'utf8',
        env: { STATUS },
      });
      return [status, stdout];
    };
    expect(run('0')).toEqual([7, 'start a b\n']);
    expect(run('1')).toEqual([7, 'start a b\n']);
    for (const refused of ['2', '3', '4']) expect(run(refused)).toEqual([0, '']);
    expect(run('0', join(dir, 'missing'))).toEqual([7, 'start \n']);
    spawnSync('rm', ['-r', dir]);
  });
});

describe('docs/service.md', () => {
  const text = readFileSync(new URL('../../docs/service.md', import.meta.url), 'utf8');
  it('tells what each line is for that is not plain', () => {
    const plain = [
      'Description',
      'User',
      'WorkingDirectory',
      'Environment',
      'EnvironmentFile',
      'ExecStart',
      'ExecReload',
    ];
    const known = [...plain, 'Wants', 'After', 'RequiresMountsFor', 'WantedBy'];
    const keys = [...linesOf(render(service({ scope: 'system' }))).keys()].filter((key) => !known.includes(key));
    expect(keys.length).toBeGreaterThan(20);
    expect(keys.filter((key) => !new RegExp(`^\\|.*\`${key}(=[^\`]*)?\``, 'm').test(text))).toEqual([]);
  });
  it('names the keys that need a restart', () => {
    const told = /keys wait for a restart:([\s\S]*?)\.\n/.exec(text)?.[1] ?? '';
    expect([...told.matchAll(/`([^`]+)`/g)].map((found) => found[1])).toEqual([...FIXED_KEYS]);
  });
});

describe('a service', () => {
  it('has a name of its own for each workspace, in plain letters', () => {
    fc.assert(
      fc.property(path, path, (one, other) => {
        expect(serviceName(one)).toMatch(/^towpath-([A-Za-z0-9]+(-[A-Za-z0-9]+)*-)?[0-9a-f]{8}$/);
        expect(serviceName(one) === serviceName(other)).toBe(one === other);
      }),
    );
    expect(serviceName('/home/me/My Répo')).toMatch(/^towpath-My-Re-po-[0-9a-f]{8}$/);
  });
  it('refuses what no service file can say', () => {
    for (const workspace of ['/a\nb', '/a\u0007', '/a\ufffd', '/a\ud800'])
      for (const form of ['systemd', 'launchd'] as const)
        expect(() => render(service({ form, workspace }))).toThrow(/holds a character that a service file cannot/);
  });
  it('tells which lines differ', () => {
    for (const [form, keys] of [
      ['systemd', ['ExecStart', 'ExecStop', 'ExecStopPost', 'PATH']],
      ['launchd', ['ProgramArguments', 'PATH']],
    ] as const) {
      const [one, other] = [service({ form }), service({ form, node: '/other/node', path: '/bin' })].map(render) as [
        string,
        string,
      ];
      expect(differences(form, one, one)).toEqual([]);
      expect(differences(form, one, other).sort()).toEqual([...keys].sort());
    }
  });
});

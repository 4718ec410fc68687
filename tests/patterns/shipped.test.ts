// The shipped patterns on small real repositories: what they make works, doing it again changes nothing, and so does the order of time.
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { Workspace } from '../../daemon/paths.ts';
import { patternCall, withInputs } from '../../daemon/patterns/choose.ts';
import { patternNames, readPattern } from '../../daemon/patterns/read.ts';
import { gitIn, makeRepo, tempDir } from '../helpers/workspace.ts';

const dirs: string[] = [];
afterEach(() => {
  for (const dir of dirs.splice(0)) rmSync(dir, { recursive: true, force: true });
});

function repo(files: Record<string, string>): string {
  const dir = makeRepo(tempDir('towpath-pattern-'));
  dirs.push(dir);
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(dirname(join(dir, path)), { recursive: true });
    writeFileSync(join(dir, path), content);
  }
  gitIn(dir, 'add', '-A', '-f');
  gitIn(dir, 'commit', '-q', '-m', 'files', '--allow-empty');
  return dir;
}

interface Ran {
  code: number | null;
  stderr: string;
  messages: string[];
  outputs: Record<string, unknown>;
}

function ran(name: string, dir: string, given: Record<string, unknown> = {}, more: object = {}): Ran {
  const { pattern, inputs } = withInputs(readPattern(new Workspace(dir), name), given);
  const call = {
    task: null,
    attempt: null,
    inputs,
    workspace: dir,
    repo: dir,
    worktree: dir,
    branch: null,
    dry_run: false,
    ...more,
  };
  const { status, stdout, stderr } = spawnSync(pattern.program, {
    cwd: dir,
    encoding: 'utf8',
    input: JSON.stringify(patternCall(call)),
    env: { PATH: process.env['PATH'], TOWPATH_NODE: process.execPath },
    timeout: 60_000,
  });
  const messages = stdout.trimEnd().split('\n');
  const last = messages.pop()!;
  return { code: status, stderr, messages, outputs: last.startsWith('{') ? JSON.parse(last).outputs : {} };
}

const read = (dir: string, path: string): string => readFileSync(join(dir, path), 'utf8');
/** All that is in it now, as git names it. */
function treeOf(dir: string): string {
  gitIn(dir, 'add', '-A');
  return gitIn(dir, 'write-tree');
}

/** Runs it, and once more: the second run finds nothing to do; on a copy it makes the same. */
function twice(name: string, files: Record<string, string>, inputs: Record<string, unknown> = {}) {
  const dir = repo(files);
  const first = ran(name, dir, inputs);
  expect(first.stderr).toBe('');
  expect(first.code).toBe(0);
  const tree = treeOf(dir);
  expect(ran(name, dir, inputs).code).toBe(0);
  expect(treeOf(dir)).toBe(tree);
  const copy = repo(files);
  ran(name, copy, inputs);
  expect(treeOf(copy)).toBe(tree);
  return { dir, ...first };
}

it('all that ship can be read, and tell what they are', () => {
  const workspace = new Workspace(tempDir());
  dirs.push(workspace.root);
  const names = patternNames(workspace);
  expect(names).toEqual(['automation_status', 'cleanup', 'config_setup', 'implementation_status', 'module_creation']);
  for (const name of names) expect(readPattern(workspace, name)).toMatchObject({ name, from: 'shipped' });
});

describe('module_creation', () => {
  it('fits into ESM JavaScript with tests in a folder; its test passes', () => {
    const { dir, outputs } = twice(
      'module_creation',
      {
        'package.json': '{"name": "x", "type": "module"}',
        'src/index.js': "export * from './first-thing.js';",
        'src/first-thing.js': 'export const a = 1;\n',
        'test/first-thing.test.js': "import '../src/first-thing.js';\n",
      },
      { name: 'dateParser', description: 'Reads dates.' },
    );
    expect(outputs).toMatchObject({
      language: 'javascript',
      source: 'src/date-parser.js',
      test: 'test/date-parser.test.js',
      index: 'src/index.js',
    });
    expect(read(dir, 'src/date-parser.js')).toContain('/** Reads dates. */');
    expect(read(dir, 'src/index.js')).toBe("export * from './first-thing.js';\nexport * from './date-parser.js';\n");
    const load = "import('./src/index.js').then((all) => console.log(Object.keys(all).join()))";
    expect(execFileSync(process.execPath, ['-e', load], { cwd: dir, encoding: 'utf8' })).toBe('a,dateParser\n');
    const tested = spawnSync(process.execPath, ['--test'], {
      cwd: dir,
      encoding: 'utf8',
      env: { PATH: process.env['PATH'] },
    });
    expect(tested.stdout).toMatch(/pass 2/);
    expect(tested.status).toBe(0);
  });

  it('fits into CommonJS', () => {
    const { dir } = twice(
      'module_creation',
      {
        'package.json': '{"name": "x"}',
        'lib/index.js': "module.exports = { a: require('./a').a };\n",
        'lib/a.js': 'exports.a = 1;\n',
      },
      { name: 'b_c' },
    );
    const load = "console.log(Object.keys(require('./lib/index.js')).join())";
    expect(execFileSync(process.execPath, ['-e', load], { cwd: dir, encoding: 'utf8' })).toBe('a,bC\n');
    expect(spawnSync(process.execPath, ['--test'], { cwd: dir, env: { PATH: process.env['PATH'] } }).status).toBe(0);
  });

  it('fits into TypeScript with tests beside the source, camel case, .ts imports and listed exports', () => {
    const { dir, outputs } = twice(
      'module_creation',
      {
        'package.json':
          '{\n  "name": "x",\n  "devDependencies": {"vitest": "5"},\n  "exports": {"./oneThing": "./src/oneThing.ts"}\n}\n',
        'tsconfig.json': '{}',
        'src/oneThing.ts': "import { two } from './twoThings.ts';\nexport const one = two;\n",
        'src/twoThings.ts': 'export const two = 2;\n',
        'src/oneThing.spec.ts': "import { it } from 'vitest';\n",
      },
      { name: 'date-parser' },
    );
    expect(outputs).toMatchObject({ source: 'src/dateParser.ts', test: 'src/dateParser.spec.ts', index: null });
    expect(read(dir, 'src/dateParser.spec.ts')).toContain(
      "import { describe, expect, it } from 'vitest';\nimport { dateParser } from './dateParser.ts';",
    );
    expect(JSON.parse(read(dir, 'package.json')).exports['./dateParser']).toBe('./src/dateParser.ts');
  });

  it('fits into Python; its test passes', () => {
    const { dir, outputs } = twice(
      'module_creation',
      {
        'pyproject.toml': '[project]\nname = "my-tool"\n',
        'my_tool/__init__.py': '"""My tool."""\n\nfrom .alpha import alpha\n\n__all__ = [\n    "alpha",\n]\n',
        'my_tool/alpha.py': 'def alpha():\n    return 1\n',
        'tests/__init__.py': '',
        'tests/test_alpha.py': 'import unittest\n',
      },
      { name: 'dateParser' },
    );
    expect(outputs).toMatchObject({
      language: 'python',
      source: 'my_tool/date_parser.py',
      test: 'tests/test_date_parser.py',
    });
    expect(read(dir, 'my_tool/__init__.py')).toBe(
      '"""My tool."""\n\nfrom .alpha import alpha\nfrom .date_parser import date_parser\n\n__all__ = [\n    "alpha",\n    "date_parser",\n]\n',
    );
    const python = spawnSync('python3', ['-B', '-m', 'unittest', 'discover', '-s', 'tests', '-t', '.'], {
      cwd: dir,
      encoding: 'utf8',
    });
    if (python.error) return;
    expect(python.stderr).toMatch(/Ran 1 test/);
    expect(python.status).toBe(0);
  });

  it('leaves a module that is there as it is, and does not leave the worktree', () => {
    const dir = repo({ 'package.json': '{}', 'src/a.js': '// mine\n' });
    const { outputs, messages } = ran('module_creation', dir, { name: 'a', test: false });
    expect(outputs['written']).toEqual([]);
    expect(messages).toContain('src/a.js: is there already, and stays as it is');
    expect(read(dir, 'src/a.js')).toBe('// mine\n');
    expect(ran('module_creation', dir, { name: 'b', dir: '../elsewhere' })).toMatchObject({
      code: 1,
      stderr: '../elsewhere: lies outside the worktree\n',
    });
    symlinkSync(tempDir(), join(dir, 'link'));
    expect(ran('module_creation', dir, { name: 'b', dir: 'link' }).code).toBe(1);
    expect(ran('module_creation', repo({}), { name: 'b' }).stderr).toContain('name one');
  });
});

describe('config_setup', () => {
  it('adds what is missing, made from what is there', () => {
    const { dir, outputs } = twice('config_setup', {
      'package.json': '{"scripts": {"lint": "biome ci .", "test": "vitest run"}, "engines": {"node": ">=22"}}',
      'package-lock.json': '{}',
      'src/a.ts': 'if (true) {\n    a();\n}\n',
      '.gitignore': 'node_modules',
    });
    expect(outputs).toMatchObject({ language: 'typescript', kept: [], install: ['@biomejs/biome'] });
    expect(read(dir, '.editorconfig')).toContain('indent_style = space\nindent_size = 4\n');
    const ignored = read(dir, '.gitignore').split('\n');
    expect(ignored[0]).toBe('node_modules');
    expect(ignored.filter((line) => line.startsWith('node_modules'))).toHaveLength(1);
    expect(ignored).toContain('dist/');
    const ci = read(dir, '.github/workflows/ci.yml');
    expect(ci).toContain("node-version: '22'");
    expect(ci.match(/- run: .*/g)).toEqual(['- run: npm ci', '- run: npm run lint', '- run: npm run test']);
    expect(JSON.parse(read(dir, 'biome.json')).formatter).toMatchObject({
      enabled: true,
      indentWidth: 4,
      lineWidth: 100,
    });
  });

  it('overwrites nothing that differs, unless it is told to', () => {
    const files = {
      'package.json': '{"devDependencies": {"prettier": "3"}}',
      '.editorconfig': '# mine\n',
      '.prettierrc': '{}',
      'a.js': '',
    };
    const { dir, outputs } = twice('config_setup', files, { parts: ['editorconfig', 'formatter', 'linter'] });
    expect(outputs).toMatchObject({
      kept: ['.editorconfig'],
      written: ['eslint.config.mjs'],
      install: ['@eslint/js', 'eslint'],
    });
    expect(read(dir, '.editorconfig')).toBe('# mine\n');
    ran('config_setup', dir, { parts: ['editorconfig'], overwrite: true, indent: 'tab' });
    expect(read(dir, '.editorconfig')).toContain('indent_style = tab');
  });

  it('knows Python, and GitLab', () => {
    const { dir, outputs } = twice(
      'config_setup',
      { 'app/a.py': 'x = 1\n', 'tests/test_a.py': 'def test_a(): pass\n' },
      { ci: 'gitlab', ignore: ['/data'] },
    );
    expect(outputs).toMatchObject({ language: 'python', install: ['ruff'] });
    expect(read(dir, '.gitlab-ci.yml')).toContain('    - python -m pytest\n');
    expect(read(dir, 'ruff.toml')).toContain('line-length = 100');
    expect(read(dir, '.gitignore')).toContain('\n/data\n');
  });
});

describe('automation_status', () => {
  const FILES = {
    'package.json': '{"scripts": {"test": "vitest run"}, "devDependencies": {"vitest": "5", "typescript": "7"}}',
    '.github/workflows/ci.yml': 'on: [pull_request]\njobs: {a: {steps: [{run: npm audit}]}}\n',
    '.github/dependabot.yml': 'version: 2\n',
    'src/a.test.ts': '',
    'tsconfig.json': '{}',
  };

  it('tells what is there and what is not', () => {
    const { dir, outputs } = twice('automation_status', FILES);
    expect(outputs).toMatchObject({
      have: ['CI', 'Tests', 'Types', 'Dependency updates', 'Security'],
      lack: ['Git hooks', 'Coverage', 'Linters', 'Formatters', 'Releases'],
      percent: 50,
      report: 'AUTOMATION.md',
    });
    expect(read(dir, 'AUTOMATION.md')).toContain('| CI | yes | GitHub Actions (`.github/workflows/ci.yml`) |');
  });

  it('as JSON', () => {
    const { dir } = twice('automation_status', FILES, { report: 'docs/automation.json' });
    const report = JSON.parse(read(dir, 'docs/automation.json'));
    expect(report.areas[0]).toMatchObject({ area: 'CI', found: [{ what: 'GitHub Actions' }] });
  });
});

describe('implementation_status', () => {
  const FILES = {
    'src/a.ts':
      "const TODO = 'no marker'; // fine\n// TODO: this one\nexport const a = () => {\n  throw new Error('a is not implemented');\n};\n",
    'src/b.py': 'def b():\n    raise NotImplementedError\n',
    'src/c.ts': 'export const c = 1;\n',
    'src/c.test.ts': "it.skip('c', () => {});\nit('d', () => {});\n",
    'vendor/x.js': '// FIXME\n',
    'PLAN.md':
      '# Plan\n## One\n- [x] done\n- [ ] parent\n  - [x] child\n  - [ ] other\n```\n- [ ] an example\n```\n1. [X] numbered\n',
  };

  it('counts what is open, and the plan by its leaves', () => {
    const { dir, outputs } = twice('implementation_status', FILES, { plan: 'PLAN.md', exclude: ['vendor/'] });
    expect(outputs).toMatchObject({
      percent: 75,
      plan: { file: 'PLAN.md', done: 3, total: 4 },
      files: 4,
      clean_files: 1,
      code_percent: 25,
      ...{ markers: 1, unimplemented: 2, skipped_tests: 1 },
    });
    const report = read(dir, 'STATUS.md');
    expect(report).toContain('**75 % done.**');
    expect(report).toContain('- One: other\n');
    expect(report).toContain('- `src/a.ts:2` `// TODO: this one`');
  });

  it('fails where less is done than was asked for, and the report tells why', () => {
    const dir = repo(FILES);
    const { code, stderr } = ran('implementation_status', dir, { fail_below: 90, report: 'status.json' });
    expect(code).toBe(1);
    expect(stderr).toBe('20 % are done, and 90 % were asked for: see status.json\n');
    expect(JSON.parse(read(dir, 'status.json')).open).toHaveLength(5);
  });
});

describe('cleanup', () => {
  it('removes junk that is tracked and trims what may be trimmed', () => {
    const { dir, outputs } = twice(
      'cleanup',
      {
        '.gitignore': 'dist/\n',
        'dist/out.js': 'built\n',
        'src/.DS_Store': 'x',
        'old/keep.txt': 'a',
        'src/a.ts': 'const a = 1;  \nconst b = `x`;\t\n\n\n',
        'src/crlf.txt': 'a  \r\nb\r\n',
        'README.md': 'line  \nnext \nend',
        'fix.patch': '+a  \n',
      },
      { listed: ['old'] },
    );
    expect(outputs).toMatchObject({
      removed: ['dist/out.js', 'old/keep.txt', 'src/.DS_Store'],
      trimmed: ['README.md', 'src/a.ts', 'src/crlf.txt'],
      found: [],
    });
    expect(read(dir, 'src/a.ts')).toBe('const a = 1;\nconst b = `x`;\n');
    expect(read(dir, 'src/crlf.txt')).toBe('a\r\nb\r\n');
    expect(read(dir, 'README.md')).toBe('line  \nnext\nend\n');
    expect(read(dir, 'fix.patch')).toBe('+a  \n');
  });

  it('touches the own tree and branches only when it is to be applied', () => {
    const dir = repo({ '.gitignore': 'dist\n.env\nnode_modules\nqueues\n' });
    for (const path of ['dist', 'node_modules/dist', 'queues/dist', 'a/b/empty', 'hooks'])
      mkdirSync(join(dir, path), { recursive: true });
    for (const path of ['dist/x', '.env', 'node_modules/dist/x', 'queues/dist/x']) writeFileSync(join(dir, path), '');
    gitIn(dir, 'branch', 'towpath/merged');
    gitIn(dir, 'branch', 'feature');
    gitIn(dir, 'worktree', 'add', '-q', '-b', 'towpath/busy', join(dir, '../', `${dir.split('/').at(-1)}-busy`));
    dirs.push(`${dir}-busy`);
    gitIn(dir, 'checkout', '-q', '-b', 'towpath/open');
    gitIn(dir, 'commit', '-q', '--allow-empty', '-m', 'work');
    gitIn(dir, 'checkout', '-q', 'main');
    const inputs = { own_tree: true, branches: true, whitespace: false, leftovers: false };
    const found = ['dist', 'a', 'towpath/merged'];
    expect(ran('cleanup', dir, inputs).outputs).toMatchObject({ found, gone: [] });
    expect(ran('cleanup', dir, { ...inputs, apply: true }, { dry_run: true }).outputs).toMatchObject({
      found,
      gone: [],
    });
    expect(existsSync(join(dir, 'dist/x'))).toBe(true);
    expect(ran('cleanup', dir, { ...inputs, apply: true }).outputs).toMatchObject({ found, gone: found });
    for (const path of ['.env', 'node_modules/dist/x', 'queues/dist/x', 'hooks'])
      expect(existsSync(join(dir, path)), path).toBe(true);
    for (const path of ['dist', 'a']) expect(existsSync(join(dir, path)), path).toBe(false);
    expect(gitIn(dir, 'branch', '--format=%(refname:short)').trim().split('\n')).toEqual([
      'feature',
      'main',
      'towpath/busy',
      'towpath/open',
    ]);
    expect(ran('cleanup', dir, { ...inputs, apply: true }).outputs).toMatchObject({ found: [] });
  });
});

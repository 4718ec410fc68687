// Guards the house: arrows run one way, each package has one door, every module says what it is and stays short.
import { globSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const DAEMON = fileURLToPath(new URL('../daemon/', import.meta.url));

/** From the ground up; a module belongs to the first row that names it or its room. Imports go to earlier rows only. */
const LAYERS: readonly (readonly string[])[] = [
  ['errors.ts', 'clock.ts', 'task/terms.ts', 'task/keys.ts'],
  ['paths.ts', 'faults.ts', 'owner.ts'],
  ['settings.ts'],
  ['secrets.ts'],
  ['events.ts'],
  ['config.ts', 'log.ts', 'limits.ts', 'holds.ts', 'folders.ts'],
  ['task', 'process'],
  ['worktree'],
  ['patterns'],
  [
    'workflow/blocks.ts',
    'workflow/variables.ts',
    'workflow/graph.ts',
    'workflow/problem.ts',
    'workflow/parse.ts',
    'workflow/check.ts',
  ],
  ['roles', 'queue', 'hooks', 'agents', 'ledger', 'service', 'hold.ts'],
  ['workflow'],
  ['attempt'],
  ['gate'],
  ['waiting'],
  ['api', 'operate.ts', 'recover.ts', 'schedule'],
  ['rerun.ts'],
  ['scheduler.ts'],
  ['halt.ts', 'look.ts', 'reload.ts'],
  ['background.ts', 'board.ts', 'machine.ts', 'supervise.ts'],
  ['requests.ts'],
  ['daemon.ts'],
  ['cli'],
  ['main.ts'],
];

/** The one file that may import a package, or those that must. */
const PACKAGES: Record<string, readonly string[]> = {
  // The child of the api agent alone: no process of the daemon loads the SDK.
  '@ai-sdk/anthropic': ['agents/api/model.ts'],
  '@ai-sdk/openai-compatible': ['agents/api/model.ts'],
  '@modelcontextprotocol/sdk': ['agents/api/tools/mcp.ts', 'cli/mcp/serve.ts'],
  ai: ['agents/api/model.ts'],
  ajv: ['task/answer.ts'],
  chokidar: ['queue/files/watcher.ts'],
  commander: ['cli/program.ts'],
  croner: ['schedule/cron.ts'],
  execa: ['process/run.ts'],
  'gray-matter': ['task/frontmatter.ts'],
  picomatch: ['attempt/protect.ts'],
  pidusage: ['process/usage.ts'],
  pino: ['log.ts'],
  'proper-lockfile': ['limits.ts'],
  'simple-git': ['worktree/git.ts'],
  // Settings, task files, patterns, schedules, and the writer of tasks from elsewhere.
  yaml: [
    'config.ts',
    'patterns/read.ts',
    'queue/polled.ts',
    'schedule/file.ts',
    'task/file.ts',
    'task/frontmatter.ts',
    'task/schema.ts',
  ],
  // Wherever data comes in from outside.
  zod: [
    'agents/api/tools/command.ts',
    'agents/api/tools/files.ts',
    'agents/api/tools/search.ts',
    'agents/api/tools/skill.ts',
    'agents/api/tools/tool.ts',
    'agents/mcp.ts',
    'agents/pattern.ts',
    'agents/stream.ts',
    'api/control.ts',
    'attempt/work.ts',
    'cli/mcp/tools.ts',
    'cli/view/runs.ts',
    'hold.ts',
    'limits.ts',
    'patterns/read.ts',
    'queue/files/lock.ts',
    'queue/files/subtasks.ts',
    'queue/polled.ts',
    'roles/role.ts',
    'schedule/book.ts',
    'schedule/file.ts',
    'settings.ts',
    'task/keys.ts',
    'task/schema.ts',
    'task/state.ts',
  ],
};

interface Import {
  from: string;
  to: string;
  typeOnly: boolean;
}

const modules = globSync('**/*.ts', { cwd: DAEMON }).sort();
const source = new Map(modules.map((path) => [path, readFileSync(join(DAEMON, path), 'utf8')]));
const imports = modules.flatMap((from) => importsOf(from, source.get(from)!));
const local = imports.filter(({ to }) => to.startsWith('.')).map((one) => ({ ...one, to: target(one) }));

function importsOf(from: string, text: string): Import[] {
  const statements = text.matchAll(/^(?:import|export)\s(type\s)?[^;'"`]*?from\s+'([^']+)';|^import\s+'([^']+)';/gm);
  const lazy = text.matchAll(/\bimport\('([^']+)'\)/g);
  return [
    ...[...statements].map(([, type, named, bare]) => ({ from, to: (named ?? bare)!, typeOnly: type !== undefined })),
    ...[...lazy].map(([, to]) => ({ from, to: to!, typeOnly: false })),
  ];
}

function target({ from, to }: Import): string {
  return relative(DAEMON, join(DAEMON, dirname(from), to));
}

/** The package of a path into it. */
const packageOf = (to: string): string => /^(@[^/]+\/)?[^/]+/.exec(to)![0];

const layerOf = (path: string): number => {
  const exact = LAYERS.findIndex((names) => names.includes(path));
  return exact >= 0 ? exact : LAYERS.findIndex((names) => names.some((name) => path.startsWith(`${name}/`)));
};
const roomOf = (path: string): string => (path.includes('/') ? path.split('/')[0]! : path);

describe('daemon/', () => {
  it('has a layer for every module', () => {
    expect(modules.filter((path) => layerOf(path) < 0)).toEqual([]);
    expect(modules.length).toBeGreaterThan(80);
  });

  it('imports downward only', () => {
    const wrong = local.filter(({ from, to, typeOnly }) => {
      if (roomOf(from) === roomOf(to) && from.includes('/')) return false;
      if (layerOf(to) < layerOf(from)) return false;
      // Side by side, the types of a port are shared words.
      return !(layerOf(to) === layerOf(from) && typeOnly && to.endsWith('/port.ts'));
    });
    expect(wrong.map(({ from, to }) => `${from} imports ${to}`)).toEqual([]);
  });

  it('has no circles between modules', () => {
    const next = Map.groupBy(local, ({ from }) => from);
    const circles: string[] = [];
    const done = new Set<string>();
    const visit = (path: string, trail: string[]): void => {
      if (trail.includes(path)) {
        circles.push([...trail.slice(trail.indexOf(path)), path].join(' → '));
        return;
      }
      if (done.has(path)) return;
      for (const { to } of next.get(path) ?? []) visit(to, [...trail, path]);
      done.add(path);
    };
    for (const path of modules) visit(path, []);
    expect(circles).toEqual([]);
  });

  it('imports only what is there, with its ending', () => {
    const missing = local.filter(({ to }) => !source.has(to) && to !== '../package.json');
    expect(missing.map(({ from, to }) => `${from}: ${to}`)).toEqual([]);
  });

  it('lets each package in by its own door', () => {
    const others = imports.filter(({ to }) => !to.startsWith('.') && !to.startsWith('node:'));
    const doors = Map.groupBy(others, ({ to }) => packageOf(to));
    const found = Object.fromEntries([...doors].map(([name, by]) => [name, [...new Set(by.map(({ from }) => from))]]));
    expect(found).toEqual(PACKAGES);
  });

  it('loads the model SDK in the child of the api agent alone', () => {
    const next = Map.groupBy(
      imports.filter(({ typeOnly }) => !typeOnly),
      ({ from }) => from,
    );
    const seen = new Set<string>();
    const visit = (path: string): void => {
      if (seen.has(path)) return;
      seen.add(path);
      for (const { from, to } of next.get(path) ?? [])
        visit(to.startsWith('.') ? target({ from, to, typeOnly: false }) : to);
    };
    visit('main.ts');
    expect(seen).toContain('agents/api/api.ts');
    expect([...seen].filter((name) => /^(ai|@ai-sdk)(\/|$)/.test(name))).toEqual([]);
  });

  it('uses every package that it depends on, and depends on all that it uses', () => {
    const manifest = readFileSync(join(DAEMON, '../package.json'), 'utf8');
    const { dependencies } = JSON.parse(manifest) as { dependencies: Record<string, string> };
    expect(Object.keys(dependencies).sort()).toEqual(Object.keys(PACKAGES).sort());
  });

  it('leaves the process in main.ts alone', () => {
    const leaving = modules.filter((path) => /\bprocess\s*\.\s*(exit|abort|reallyExit)\s*\(/.test(source.get(path)!));
    expect(leaving).toEqual(['main.ts']);
  });

  it('says in the first line of every module what it is', () => {
    expect(modules.filter((path) => !/^\/\/ \S.*[.:]/.test(source.get(path)!))).toEqual([]);
  });

  it('has no module above 300 lines', () => {
    const lines = (path: string) => source.get(path)!.split('\n').length - 1;
    expect(modules.filter((path) => lines(path) > 300).map((path) => `${path}: ${lines(path)}`)).toEqual([]);
  });
});

describe('the reading of imports', () => {
  it('sees every form', () => {
    const text = [
      `import a from './a.ts';`,
      `import type { B } from './b.ts';`,
      `import {\n  type C,\n  c,\n} from './c.ts';`,
      `export { d } from './d.ts';`,
      `import './e.ts';`,
      `const f = await import('./f.ts');`,
      `const text = "import g from './g.ts'";`,
    ].join('\n');
    const found = importsOf('x.ts', text).map(({ to, typeOnly }) => `${to}${typeOnly ? ' (type)' : ''}`);
    expect(found).toEqual(['./a.ts', './b.ts (type)', './c.ts', './d.ts', './e.ts', './f.ts']);
  });
});

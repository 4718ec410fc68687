// The tools of the api agent in its real child process: what each answers, what is bounded, and that no key reaches any of them.
import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { api } from '../../../daemon/agents/api/api.ts';
import { toolEnv } from '../../../daemon/agents/api/tools/command.ts';
import type { ModelServer, Script, Step } from '../../fakes/model-server.ts';
import { openaiChat } from '../../fakes/openai-chat.ts';
import { CliBench, type Ran, type RunHow, until } from '../../helpers/cli-run.ts';
import { MCP_SERVER } from '../../helpers/clis.ts';
import { endpoint, KEY, offered, results, use } from './bench.ts';

let bench: CliBench;
let model: ModelServer;
beforeEach(async () => {
  bench = await CliBench.open(api, [], [openaiChat]);
  ({ model } = bench);
  bench.env = { MY_MODEL_KEY: KEY };
});
afterEach(() => bench.close());

const file = (name: string, text: string | Buffer) => {
  mkdirSync(join(bench.repo, name, '..'), { recursive: true });
  writeFileSync(join(bench.repo, name), text);
};
const run = (script: Script, how: RunHow = {}): Promise<Ran> =>
  bench.run(script, { ...how, request: { model: 'm', endpoints: [endpoint('openai', model.url)], ...how.request } });
/** What the tools answered, each in a step of its own. */
async function answers(steps: Step[], how: RunHow = {}): Promise<string[]> {
  const { verdict } = await run([...steps, { text: 'Done.' }], how);
  expect(verdict).toMatchObject({ outcome: 'ok', output: 'Done.' });
  return results(model.main.at(-1));
}

test('reading, listing and searching', async () => {
  file('src/a.ts', 'one\ntwo\nthree\n');
  file('src/b.js', 'TWO\n');
  file('bin', Buffer.from([0, 1, 116, 119, 111]));
  file('node_modules/x/a.ts', 'two\n');
  file('long', `${'x'.repeat(5000)}\n`.repeat(100));
  const told = await answers([
    use('read_file', { path: 'src/a.ts', from: 2, lines: 1 }),
    use('read_file', { path: 'src/a.ts', from: 9 }),
    use('read_file', { path: 'bin' }),
    use('read_file', { path: 'src' }),
    use('read_file', { path: 'nothing' }),
    use('read_file', { path: 'long' }),
    use('list_files', {}),
    use('list_files', { glob: '**/*.ts' }),
    use('search', { pattern: 't.o' }),
    use('search', { pattern: 'two', ignore_case: true, glob: 'src/*.js' }),
    use('search', { pattern: 'two', path: 'node_modules' }),
    use('search', { pattern: '(' }),
    use('search', { pattern: 'nowhere' }),
  ]);
  expect(told.slice(0, 5)).toEqual([
    '2\ttwo\n[1 more lines: read on from 3]',
    'src/a.ts has 3 lines',
    'bin is no text',
    'src is a folder: use list_files',
    'nothing does not exist',
  ]);
  expect(told[5]!.length).toBeLessThan(70_000);
  expect(told[5]).toMatch(/3000 characters left out\][\s\S]*more lines: read on from \d+\]$/);
  expect(told.slice(6, 11)).toEqual([
    'bin\nlong\nsrc/a.ts\nsrc/b.js',
    'src/a.ts',
    'src/a.ts:2: two',
    'src/b.js:1: TWO',
    'node_modules/x/a.ts:1: two',
  ]);
  expect(told[11]).toContain('Invalid regular expression');
  expect(told[12]).toBe('nothing found');
});

test('editing', async () => {
  file('a', 'one two one\n');
  const told = await answers([
    use('edit_file', { path: 'a', old: 'one', new: '1' }),
    use('edit_file', { path: 'a', old: 'three', new: '3' }),
    use('edit_file', { path: 'a', old: 'two', new: '$& 2' }),
    use('edit_file', { path: 'b', old: 'x', new: 'y' }),
    use('write_file', { path: '.git/config', content: 'x' }),
    use('write_file', { path: 'a/b', content: 'x' }),
  ]);
  expect(told[0]).toContain('more than once');
  expect(told[1]).toContain('is not in a');
  expect(told[2]).toBe('edited a at line 1');
  expect(told[3]).toBe('b does not exist');
  expect(told[4]).toContain("git's own");
  expect(told[5]).toContain('a file stands where');
  expect(readFileSync(join(bench.repo, 'a'), 'utf8')).toBe('one $& 2 one\n');
});

test('a search that would never end is broken off', async () => {
  const { searchTool } = await import('../../../daemon/agents/api/tools/search.ts');
  const { Worktree } = await import('../../../daemon/agents/api/tools/confine.ts');
  file('evil', `${'a'.repeat(60)}!\n`);
  const started = performance.now();
  const done = await searchTool(new Worktree(bench.repo), 300).run({ pattern: '^(a+)+$' });
  expect(done).toMatchObject({ failed: true, text: expect.stringContaining('took longer') });
  expect(performance.now() - started).toBeLessThan(10_000);
});

test('commands: where they run, how they end, how much is kept, how long they may take', async () => {
  mkdirSync(join(bench.repo, 'sub'));
  const noise = `node -e "process.stdout.write('BEGIN' + 'x'.repeat(1e6) + 'END')"`;
  const told = await answers([
    use('run_command', { command: 'pwd; echo bad >&2; exit 3', path: 'sub' }),
    use('run_command', { command: noise }),
    use('run_command', { command: 'sleep 300 & echo $! > pid; setsid sleep 300', timeout_s: 1 }),
    use('run_command', { command: 'true', path: '..' }),
    use('run_command', { command: 'cat' }),
  ]);
  expect(told[0]).toBe(`${bench.repo}/sub\n\n[stderr]\nbad\n\n[exit code 3]`);
  expect(told[1]!.length).toBeLessThan(31_000);
  expect(told[1]).toMatch(/^BEGINx+\n\[… \d+ bytes left out …]\nx+END\n\[exit code 0]$/);
  expect(told[2]).toBe('[ended after 1 s]');
  expect(told[3]).toContain('outside the worktree');
  expect(told[4]).toBe('[exit code 0]');
  const pid = readFileSync(join(bench.repo, 'pid'), 'utf8').trim();
  await until(() => !readdirSync('/proc').includes(pid) || readFileSync(`/proc/${pid}/cmdline`, 'utf8') === '');
});

test('with the permission to edit no command runs, and MCP tools are there', async () => {
  writeFileSync(join(bench.root, 'mcp.mjs'), MCP_SERVER);
  const echo = { command: process.execPath, args: [join(bench.root, 'mcp.mjs')], env: {} };
  const told = await answers(
    [
      use('mcp__echo__say', { text: 'hi' }),
      use('write_file', { path: 'a', content: 'b' }),
      use('run_command', { command: 'true' }),
    ],
    {
      settings: { permissions: 'edits' },
      request: { model: 'm', endpoints: [endpoint('openai', model.url)], mcp: { echo } },
    },
  );
  expect(offered(model.main[0])).toEqual([
    'read_file',
    'list_files',
    'search',
    'write_file',
    'edit_file',
    'mcp__echo__say',
  ]);
  expect(told).toEqual(['echo: hi', 'wrote 1 characters to a', 'this run may not run commands']);
});

describe('MCP servers', () => {
  const withMcp = (mcp: NonNullable<RunHow['request']>['mcp']): RunHow => ({
    request: { model: 'm', endpoints: [endpoint('openai', model.url)], mcp: mcp! },
  });
  let web: Server;
  const asked: { authorization: string | undefined; method: string }[] = [];
  beforeEach(async () => {
    web = createServer((request, response) => {
      let body = '';
      request.on('data', (chunk: Buffer) => (body += chunk.toString()));
      request.on('end', () => {
        if (request.method !== 'POST') return void response.writeHead(405).end();
        const { id, method, params } = JSON.parse(body) as {
          id?: number;
          method: string;
          params: Record<string, never>;
        };
        asked.push({ authorization: request.headers.authorization, method });
        if (id === undefined) return void response.writeHead(202).end();
        const result =
          method === 'initialize'
            ? {
                protocolVersion: params['protocolVersion'],
                capabilities: { tools: {} },
                serverInfo: { name: 'w', version: '1' },
              }
            : method === 'tools/list'
              ? { tools: [{ name: 'fail.now', inputSchema: { type: 'object' } }] }
              : { content: [{ type: 'text', text: 'it failed' }], isError: true };
        response
          .writeHead(200, { 'content-type': 'application/json' })
          .end(JSON.stringify({ jsonrpc: '2.0', id, result }));
      });
    });
    await new Promise<void>((done) => web.listen(0, '127.0.0.1', done));
  });
  afterEach(() => {
    web.closeAllConnections();
    web.close();
  });

  test('at an address', async () => {
    const url = `http://127.0.0.1:${(web.address() as AddressInfo).port}/mcp`;
    const told = await answers(
      [use('mcp__web__fail_now', {})],
      withMcp({ web: { url, headers: { authorization: 'Bearer t' } } }),
    );
    expect(told).toEqual(['it failed']);
    expect(asked.at(-1)).toEqual({ authorization: 'Bearer t', method: 'tools/call' });
  });

  test('that cannot be had end the run before the model is asked', async () => {
    const broken = await run([], withMcp({ broken: { command: 'no-such-program', args: [], env: {} } }));
    expect(broken.verdict).toMatchObject({ outcome: 'failed', reason: expect.stringContaining('MCP server broken') });
    const away = await run([], withMcp({ away: { url: 'http://127.0.0.1:9/', headers: {} } }));
    expect(away.verdict).toMatchObject({ outcome: 'transient', reason: expect.stringContaining('MCP server away') });
    await expect(run([], withMcp({ named: null }))).rejects.toThrow('knows no server named named');
    expect(model.main).toHaveLength(0);
  });
});

test('keys and secrets reach no command, no MCP server, no argument and no file', async () => {
  writeFileSync(join(bench.root, 'mcp.mjs'), `${ENV_DUMP}\n${MCP_SERVER}`);
  const echo = { command: process.execPath, args: [join(bench.root, 'mcp.mjs'), join(bench.repo, 'mcp-env')], env: {} };
  const secrets = { ANTHROPIC_API_KEY: KEY, NPM_TOKEN: KEY, DB_PASSWORD: KEY, TOWPATH_RUN: 't/1/x', HARMLESS: 'yes' };
  const look = 'tr "\\0" "\\n" < /proc/self/environ; cat /proc/$PPID/cmdline | tr "\\0" " "';
  const request = { model: 'm', endpoints: [endpoint('openai', model.url)], mcp: { echo } };
  const spy = use('run_command', { command: 'tr "\\0" "\\n" < /proc/$PPID/environ' });
  const [told, spied] = await answers([use('run_command', { command: look }), spy], { env: secrets, request });
  expect(spied).toContain('NPM_TOKEN=[');
  expect(model.calls.map((call) => JSON.stringify(call.body)).join('')).not.toContain(KEY);
  expect(told).toContain('HARMLESS=yes');
  expect(told).toContain('TOWPATH_RUN=t/1/x');
  expect(told).toContain('program.ts');
  expect(readFileSync(join(bench.repo, 'mcp-env'), 'utf8')).toContain('HARMLESS');
  expect(model.main[0]!.headers.authorization).toContain(KEY);
  const where = execFileSync('sh', ['-c', 'grep -rl "$0" . || true', KEY], { cwd: bench.root, encoding: 'utf8' });
  expect(where).toBe('');
  // The search itself finds what is there.
  writeFileSync(join(bench.root, 'planted'), KEY);
  expect(execFileSync('grep', ['-rl', KEY, '.'], { cwd: bench.root, encoding: 'utf8' })).toBe('./planted\n');
});

const ENV_DUMP = `import { writeFileSync } from 'node:fs'; writeFileSync(process.argv[2], JSON.stringify(process.env));`;

test('the names that look like secrets', () => {
  const hidden = ['A_KEY', 'GH_TOKEN', 'AWS_SECRET_ACCESS_KEY', 'PGPASSWORD', 'OPENAI_APIKEY', 'MY_MODEL'];
  const shown = ['PATH', 'KEYBOARD', 'TOKENIZERS_PARALLELISM', 'GIT_AUTHOR_NAME', 'TOWPATH_RUN', 'MONKEY'];
  const env = Object.fromEntries([...hidden, ...shown].map((name) => [name, 'x']));
  expect(Object.keys(toolEnv(env, ['MY_MODEL']))).toEqual(shown);
});

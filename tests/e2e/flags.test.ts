// An agent CLI of another version: a flag that it lacks is noticed and told, left out where that can be, and never assumed.
import { existsSync, readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { workspaces } from '../helpers/workspace.ts';

const make = workspaces();
const FLAGS = [
  ...['--print', '--output-format', '--verbose', '--model', '--resume', '--session-id', '--append-system-prompt-file'],
  ...['--mcp-config', '--strict-mcp-config', '--dangerously-skip-permissions', '--disallowedTools', '--allowedTools'],
  ...['--permission-mode', '--tools', '--setting-sources', '--max-budget-usd', '--append-system-prompt'],
];
/** Says what it can do, writes down how it was called, and does its task. */
const cli = (flags: string[]) => `#!/bin/sh
case "$1" in
  --version) echo "1.0.7 (Claude Code)"; exit 0;;
  --help) printf '%s\\n' ${flags.map((flag) => `'  ${flag} <x>'`).join(' ')}; exit 0;;
esac
cat > /dev/null
echo "$@" > "$TOWPATH_WORKSPACE/argv"
echo x > x.txt
echo '{"type":"system","subtype":"init","session_id":"s","model":"m"}'
echo '{"type":"result","subtype":"success","is_error":false,"result":"ok","session_id":"s","usage":{}}'
`;
const setUp = (flags: string[]) => {
  const ws = make('agent: claude\nagents: {claude: {command: ./claude}}\n');
  ws.file('claude', cli(flags), 0o755);
  ws.drop('t', 'Do it.\n');
  return { ws, code: ws.run(['start', '--drain'], { env: { ANTHROPIC_API_KEY: 'k' } }).code };
};

it('a flag that can be done without is left out', () => {
  const { ws, code } = setUp(FLAGS.filter((flag) => flag !== '--max-budget-usd'));
  expect(code).toBe(0);
  expect(readFileSync(ws.path('argv'), 'utf8')).not.toContain('--max-budget-usd');
  const all = setUp(FLAGS);
  expect(all.code).toBe(0);
  expect(readFileSync(all.ws.path('argv'), 'utf8')).toContain('--max-budget-usd');
});

it('one that it cannot do without holds the task before anything began', () => {
  const { ws, code } = setUp(FLAGS.filter((flag) => flag !== '--output-format'));
  expect(code).toBe(1);
  expect(existsSync(ws.path('argv'))).toBe(false);
  expect(ws.show('t')).toMatchObject({ queue: 'blocked', attempts: 0 });
  expect(ws.show('t').reason).toContain('claude 1.0.7 has no --output-format: update it');
});

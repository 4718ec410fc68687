// The log: whole lines at once, no secrets at any depth, a file that is rotated, a place that cannot be written.
import { mkdtempSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { Events } from '../../daemon/events.ts';
import { createLog, logEvents, redact } from '../../daemon/log.ts';

let dir: string;
let file: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'towpath-log-'));
  file = join(dir, 'sub', 'daemon.log');
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));
const lines = () =>
  readFileSync(file, 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);

it('writes each transition as a line, at once, and what is noisy only when asked', () => {
  const events = new Events();
  const log = createLog({ destination: file });
  const off = logEvents(log, events);
  events.emit('transition', { task: 'a', from: 'incoming', to: 'claimed' });
  events.emit('agent_output', { task: 'a', attempt: 1, kind: 'log', text: 'chatter' });
  events.emit('warning', { message: 'odd' });
  off();
  events.emit('warning', { message: 'after' });
  expect(lines()).toMatchObject([
    { level: 'info', event: 'transition', task: 'a', from: 'incoming', to: 'claimed', msg: 'a: incoming → claimed' },
    { level: 'warn', event: 'warning', msg: 'odd' },
  ]);
});

it('blots out secrets at any depth, and keeps what only sounds like one', () => {
  const error = Object.assign(new TypeError('boom'), { auth_token: 'x' });
  createLog({ destination: file }).error(
    {
      err: error,
      env: { ANTHROPIC_API_KEY: 'x', deep: [{ dbPassword: 'x', GITHUB_TOKEN: 'x' }] },
      clientSecret: 'x',
      tokens: 3,
      key: 'retry',
    },
    'failed',
  );
  expect(lines()[0]).toMatchObject({
    err: { type: 'TypeError', message: 'boom', auth_token: '[redacted]' },
    env: { ANTHROPIC_API_KEY: '[redacted]', deep: [{ dbPassword: '[redacted]', GITHUB_TOKEN: '[redacted]' }] },
    ...{ clientSecret: '[redacted]', tokens: 3, key: 'retry' },
  });
  const circle: Record<string, unknown> = {};
  circle['self'] = circle;
  expect(JSON.stringify(redact(circle))).toContain('[deep]');
});

it('begins a new file when the old one is large, and keeps that one', () => {
  createLog({ destination: file }).info('first');
  truncateSync(file, 11e6);
  createLog({ destination: file }).info('second');
  expect(statSync(`${file}.1`).size).toBe(11e6);
  expect(lines()).toMatchObject([{ msg: 'second' }]);
});

it('does not keep the daemon from starting where it cannot be written', () => {
  writeFileSync(join(dir, 'sub'), 'no folder');
  createLog({ destination: file, level: 'silent' }).info('lost');
});

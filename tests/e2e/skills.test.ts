// Skills and notes reach the agent; one that does not exist is refused; what does not fit is left out and told.
import { chmodSync, existsSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { workspaces } from '../helpers/workspace.ts';

const make = workspaces();
const SETTINGS = 'agent: bot\nagents: {bot: {command: [./bot]}}\nretry: {initial: 100ms}\n';
const BOT = `#!/bin/sh
cat > "$TOWPATH_WORKSPACE/request-$TOWPATH_TASK_ID.json"
copy=$TOWPATH_WORKSPACE/.towpath/runs/$TOWPATH_TASK_ID/1/skills/tidy
if [ -d "$copy" ]; then echo spoilt >> "$copy/order.md"; fi
if [ "$TOWPATH_TASK_ID" = t ]; then printf '%s\\n' '{"type":"result","output":"{\\"n\\":1}"}'; fi
`;
const skill = (text: string) => `---\nname: tidy\ndescription: how to tidy\n---\n${text}\n`;

it('a skill of the task or of its role is in the prompt, with its folder', () => {
  const ws = make(`${SETTINGS}notes: docs/NOTES.md\nprojects: {app: {notes: docs/APP.md}, none: {notes: gone.md}}\n`);
  ws.file('bot', BOT, 0o755);
  ws.file('skills/tidy/SKILL.md', skill('Sweep first.'));
  ws.file('skills/tidy/order.md', 'top down\n');
  chmodSync(ws.path('skills/tidy/SKILL.md'), 0o444);
  ws.file('skills/tidy/.git/HEAD', 'of a clone');
  ws.file('skills/plan/SKILL.md', 'Think first.');
  ws.file('skills/huge/SKILL.md', 'x'.repeat(1024 * 1024 + 1));
  ws.file('skills/latin/SKILL.md', '');
  writeFileSync(ws.path('skills/latin/SKILL.md'), Buffer.from([0x4d, 0xfc, 0x6c, 0x6c]));
  ws.file('skills/linked/SKILL.md', 'Look at secret.md.');
  symlinkSync('/etc/hostname', ws.path('skills/linked/secret.md'));
  symlinkSync('/etc', ws.path('skills/away'));
  ws.file('docs/NOTES.md', 'We use tabs.\n');
  ws.file('docs/APP.md', 'We use blanks.\n');
  ws.file('roles/planner.md', '---\nskills: [plan]\n---\nPlan.\n');
  ws.file('roles/lost.md', '---\nskills: [nowhere]\n---\nPlan.\n');
  const task = (matter: string) => `---\nexpect: any\n${matter}---\nDo it.\n`;
  ws.drop('own', task('skills: [tidy]\n'));
  ws.drop('role', task('role: planner\nproject: app\n'));
  ws.drop('without', task('project: none\n'));
  for (const [id, matter] of [
    ['lost', 'role: lost\n'],
    ['unknown', 'skills: [tidy, missing]\n'],
    ['out', 'skills: [../docs]\n'],
    ['huge', 'skills: [huge]\n'],
    ['latin', 'skills: [latin]\n'],
    ['linked', 'skills: [linked]\n'],
    ['away', 'skills: [away]\n'],
  ] as const)
    ws.file(`queues/incoming/${id}.md`, task(matter));
  const { stdout, stderr } = ws.drain();
  const asked = (id: string) =>
    JSON.parse(readFileSync(ws.path(`request-${id}.json`), 'utf8')) as { prompt: string; skills: { dir: string }[] };
  const dir = ws.path('.towpath/runs/own/1/skills/tidy');
  expect(asked('own').skills).toEqual([{ name: 'tidy', description: 'how to tidy', dir }]);
  expect(asked('own').prompt).toContain(`## Skill: tidy\n\nWhat it names lies in ${dir}.\n\nSweep first.\n`);
  // The agent has a copy: what it writes there changes no skill.
  expect(readFileSync(join(dir, 'order.md'), 'utf8')).toBe('top down\nspoilt\n');
  expect(readFileSync(ws.path('skills/tidy/order.md'), 'utf8')).toBe('top down\n');
  expect(existsSync(join(dir, '.git'))).toBe(false);
  expect(readFileSync(join(dir, 'SKILL.md'), 'utf8')).toBe(
    skill('\nSweep first.').replace('how to tidy', '"how to tidy"'),
  );
  expect(asked('own').prompt).toContain('## Notes of this project\n\nWe use tabs.\n');
  expect(asked('role').prompt).toContain('Think first.');
  expect(asked('role').prompt).toContain('We use blanks.');
  expect(asked('without').prompt).not.toContain('Notes of this project');
  expect(stdout + stderr).toContain('notes: gone.md cannot be read');
  const refused = (id: string) => ws.show(id).reason;
  expect(refused('lost')).toBe('skills: "nowhere" does not exist: write skills/nowhere/SKILL.md');
  expect(refused('unknown')).toBe('skills: "missing" does not exist: write skills/missing/SKILL.md (line 3)');
  expect(refused('out')).toContain('skills: "../docs" is not allowed');
  expect(refused('huge')).toContain('skills: "huge" is larger than 1 MiB');
  expect(refused('latin')).toContain('skills: "latin" is no UTF-8 text');
  expect(refused('linked')).toContain('skills: "linked" holds the link secret.md, which leads out of its folder');
  expect(refused('away')).toContain('skills: "away" does not exist');
});

it('what does not fit is left out, and prompt and log say so; an answer by a schema reaches who depends on it', () => {
  const ws = make(`${SETTINGS}notes: NOTES.md\ncontext: {tokens: 500}\n`);
  ws.file('bot', BOT, 0o755);
  ws.file('NOTES.md', 'one of many notes\n'.repeat(500));
  ws.drop('t', '---\nexpect: any\noutput_schema: {type: object}\n---\nDo it.\n');
  ws.drop('next', '---\nexpect: any\ndepends_on: [t]\n---\nGo on.\n');
  const { code, stdout, stderr } = ws.drain();
  expect(code).toBe(0);
  const asked = (id: string) => JSON.parse(readFileSync(ws.path(`request-${id}.json`), 'utf8')) as { prompt: string };
  const { prompt } = asked('t');
  expect(asked('next').prompt).toContain('### The answer of t\n\n```\n{"n":1}\n```\n');
  expect(prompt).toMatch(/## Left out, since it would be too long\n\n- notes \(NOTES\.md\): (cut|left out)/);
  expect(prompt.length).toBeLessThan(2500);
  expect(stdout + stderr).toContain('too long for the prompt: notes (NOTES.md)');
});

// Runs the examples of the documents as a reader would: every marked block, in a workspace of its own.
import { spawnSync } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { loadSettings } from '../../daemon/config.ts';
import { Workspace } from '../../daemon/paths.ts';
import { BIN, TestWorkspace, tempDir } from '../helpers/workspace.ts';
import { type Block, blocksOf, DOCUMENTS, read } from './read.ts';

const NODE_DIR = dirname(process.execPath);

/** A folder with a `towpath` for the PATH. */
function commandDir(ws: TestWorkspace): string {
  mkdirSync(ws.path('.towpath/bin'), { recursive: true });
  ws.file('.towpath/bin/towpath', `#!/bin/sh\nexec '${process.execPath}' '${BIN}' "$@"\n`, 0o755);
  return ws.path('.towpath/bin');
}

/** A script in the workspace, with the command line on the PATH. */
function shell(ws: TestWorkspace, script: string): { code: number | null; printed: string } {
  const done = spawnSync('sh', ['-e', '-c', script], {
    cwd: ws.root,
    encoding: 'utf8',
    timeout: 60_000,
    env: {
      ...process.env,
      TOWPATH_WORKSPACE: ws.root,
      PATH: [commandDir(ws), NODE_DIR, process.env['PATH']].join(delimiter),
      NO_COLOR: '1',
      GIT_AUTHOR_NAME: 'reader',
      GIT_AUTHOR_EMAIL: 'reader@example.org',
      GIT_COMMITTER_NAME: 'reader',
      GIT_COMMITTER_EMAIL: 'reader@example.org',
    },
  });
  return { code: done.status, printed: `${done.stdout}${done.stderr}` };
}

function runExample(ws: TestWorkspace, blocks: readonly Block[]): void {
  let printed = '';
  for (const { words, values, text, line } of blocks) {
    const where = `line ${line}`;
    if (values['file']) ws.file(values['file'], text, text.startsWith('#!') ? 0o755 : 0o644);
    else if (values['task']) {
      const id = values['task'];
      ws.drop(id, text);
      if (!values['ends']) continue;
      const { stdout, stderr } = ws.drain();
      expect(ws.where(id), `${where}: ${stdout}${stderr}`).toBe(values['ends']);
    } else if (words.includes('run')) {
      const done = shell(ws, text);
      printed = done.printed;
      expect(done.code, `${where}: ${printed}`).toBe(Number(values['exit'] ?? 0));
    } else if (words.includes('prints')) {
      for (const wanted of text.split('\n').filter(Boolean)) expect(printed, where).toContain(wanted);
    } else throw new Error(`${where}: what is "${words.join(' ')}"?`);
  }
}

describe.each(DOCUMENTS)('%s', (path) => {
  const marked = blocksOf(read(path)).filter((block) => block.words.length || Object.keys(block.values).length);
  const groups = Map.groupBy(marked, (block) => block.values['in'] ?? '');
  it('names a workspace for every block that is marked', () => {
    expect(groups.get('')?.map((block) => block.line)).toBeUndefined();
  });
  it.each([...groups.keys()].filter(Boolean))(
    'the example "%s" does what it says',
    { timeout: 90_000 },
    async (name) => {
      const ws = new TestWorkspace();
      try {
        runExample(ws, groups.get(name)!);
      } finally {
        await ws.close();
      }
    },
  );
});

it.each(DOCUMENTS)('%s: the settings that it shows are ones', (path) => {
  for (const { text, line } of blocksOf(read(path)).filter((block) => block.values['file'] === 'towpath.yaml')) {
    const dir = tempDir();
    try {
      writeFileSync(join(dir, 'towpath.yaml'), text);
      expect(() => loadSettings(new Workspace(dir), {}), `line ${line}`).not.toThrow();
    } finally {
      rmSync(dir, { recursive: true });
    }
  }
});

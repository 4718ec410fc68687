// towpath mcp: the tools over stdio, for any client of the Model Context Protocol. Stdout holds the protocol and nothing else.
import { Readable } from 'node:stream';
import { setImmediate as turn } from 'node:timers/promises';
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import { StdioServerTransport } from '@modelcontextprotocol/sdk/server/stdio.js';
import { messageOf, TowpathError } from '../../errors.ts';
import { findWorkspace } from '../../paths.ts';
import type { Common } from '../common.ts';
import { open } from '../open.ts';
import { boundRun } from './run.ts';
import { type Call, type Tool, toolsFor } from './tools.ts';

/** A longer line is no message: it is passed over, bytes. */
const LINE_BYTES = 4 * 1024 * 1024;

/** Serves until stdin ends and what was asked is answered. */
export async function mcp(_: [], options: Common): Promise<void> {
  const { root } = findWorkspace(options.workspace);
  const run = boundRun(process.env);
  // What a command would print is talk here.
  console.log = console.error;
  const { version } = await import('../../../package.json', { with: { type: 'json' } }).then((it) => it.default);
  const server = new McpServer({ name: 'towpath', version }, { instructions: run ? INSIDE : OUTSIDE });
  const open_ = () => ({ opened: open(root), run });
  let asked = 0;
  let last: Promise<unknown> = Promise.resolve();
  for (const tool of toolsFor(run)) {
    const { name, description, input, reads } = tool;
    const annotations = { readOnlyHint: reads, openWorldHint: false };
    server.registerTool(name, { description, inputSchema: input, annotations }, (args) => {
      asked++;
      // One after the other: two that file at once would not see each other's names and numbers.
      const answer = last.then(() => answerOf(tool, open_, args as Record<string, unknown>));
      last = answer.finally(() => asked--);
      return answer;
    });
  }
  const input = Readable.from(wholeLines(process.stdin), { objectMode: false });
  const ended = new Promise<void>((resolve) => input.once('end', resolve).once('close', resolve));
  const transport = new StdioServerTransport(input, process.stdout, { maxBufferSize: 2 * LINE_BYTES });
  server.server.onerror = (error) => console.error(`towpath mcp: ${messageOf(error)}`);
  await server.connect(transport);
  await ended;
  // What came last is still on its way to its tool, and its answer on its way out.
  do {
    await last;
    await turn();
    await turn();
  } while (asked > 0);
}

const OUTSIDE =
  'Towpath hauls tasks through coding agents: enqueue_task hands one in, list_tasks and get_task tell what came of it, answer_task answers an agent that asks.';
const INSIDE =
  'You work on a task of Towpath. enqueue_task hands work that is not yours to others as subtasks; ask puts a question to a person.';

async function answerOf(tool: Tool, call: () => Call, args: Record<string, unknown>) {
  try {
    const value = await tool.answer(call(), args);
    return { structuredContent: value, content: [{ type: 'text' as const, text: JSON.stringify(value) }] };
  } catch (thrown) {
    const code = thrown instanceof TowpathError ? thrown.code : 'failed';
    const message = messageOf(thrown);
    return {
      ...{ isError: true, structuredContent: { error: { code, message } } },
      content: [{ type: 'text' as const, text: message }],
    };
  }
}

/** Hands on each line that may be a message, with its newline; what is far too long is dropped while it comes. */
async function* wholeLines(stdin: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let kept: Buffer[] = [];
  let size = 0;
  for await (const chunk of stdin) {
    for (let from = 0; from < chunk.byteLength; ) {
      const at = chunk.indexOf(10, from);
      const to = at < 0 ? chunk.byteLength : at + 1;
      size += to - from;
      if (size <= LINE_BYTES) kept.push(chunk.subarray(from, to));
      else kept = [];
      from = to;
      if (at < 0) continue;
      if (size <= LINE_BYTES) yield Buffer.concat(kept);
      else console.error(`towpath mcp: a line of ${size} bytes is no message: it was passed over`);
      kept = [];
      size = 0;
    }
  }
  if (kept.length > 0) yield Buffer.concat([...kept, Buffer.from('\n')]);
}

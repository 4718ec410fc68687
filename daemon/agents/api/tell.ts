// What the program of the api agent tells on stdout: the events that any agent of one's own may write, a line each.
import { writeSync } from 'node:fs';
import type { Outcome, Tokens } from '../../task/terms.ts';
import { clip, EVENT, OUTPUT } from '../json.ts';

type Told =
  | { type: 'session'; session: string; model: string }
  | { type: 'log' | 'agent_thought'; content: string }
  | { type: 'tool_call'; id: string; name: string; content: string }
  | { type: 'tool_result'; id: string; content: string; is_error: boolean }
  | { type: 'usage'; usage: Tokens }
  | { type: 'error'; content: string; outcome: Outcome; resets_at?: string }
  | { type: 'result'; output: string; success: true; usage: Tokens; session: string };

export function tell(event: Told): void {
  const bounded = 'content' in event ? { ...event, content: clip(event.content, EVENT) } : event;
  const out = 'output' in bounded ? { ...bounded, output: clip(bounded.output, OUTPUT) } : bounded;
  const usage = 'usage' in out ? { usage: wire(out.usage) } : {};
  const bytes = Buffer.from(`${JSON.stringify({ ...out, ...usage })}\n`);
  // At once, so that what was told before a signal is there.
  for (let at = 0; at < bytes.length; ) at += writeSome(bytes, at);
}

function writeSome(bytes: Buffer, at: number): number {
  try {
    return writeSync(1, bytes, at);
  } catch (thrown) {
    // A pipe that is full for now.
    if ((thrown as NodeJS.ErrnoException).code === 'EAGAIN') return 0;
    throw thrown;
  }
}

const wire = ({ input, output, cache_read, cache_write }: Tokens) => ({
  input_tokens: input,
  output_tokens: output,
  cache_read_tokens: cache_read,
  cache_write_tokens: cache_write,
});

// The conversation of a session as a file, a message a line: written as it happens, so that a run that was killed is gone on with.
import { existsSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import type { Message } from './model.ts';

/** What a call is answered whose result nobody wrote down. */
const UNKNOWN = "the session ended before this call's result was recorded: its outcome is unknown";

export class Conversation {
  readonly messages: Message[];
  readonly #path: string;

  private constructor(path: string, messages: Message[]) {
    this.#path = path;
    this.messages = messages;
  }

  /** A new one; null when there is one by that name already. */
  static begin(path: string): Conversation | null {
    if (existsSync(path)) return null;
    writeFileSync(path, '', { mode: 0o600, flag: 'wx' });
    return new Conversation(path, []);
  }

  /** The one that is there; null when there is none, or nothing in it. Calls that were open are answered. */
  static resume(path: string): Conversation | null {
    const messages = existsSync(path) ? readWhole(path) : [];
    if (messages.length === 0) return null;
    const conversation = new Conversation(path, messages);
    for (const { id, name } of openCalls(messages)) conversation.addResult(id, name, UNKNOWN, true);
    return conversation;
  }

  /** On the disk when this returns. */
  add(message: Message): void {
    writeFileSync(this.#path, `${JSON.stringify(message)}\n`, { flag: 'a', flush: true });
    this.messages.push(message);
  }

  addResult(toolCallId: string, toolName: string, value: string, failed: boolean): void {
    const output = { type: failed ? ('error-text' as const) : ('text' as const), value };
    this.add({ role: 'tool', content: [{ type: 'tool-result', toolCallId, toolName, output }] });
  }
}

/** All messages up to the first line that is torn; that and what follows is cut off the file. */
function readWhole(path: string): Message[] {
  const bytes = readFileSync(path);
  const messages: Message[] = [];
  let at = 0;
  for (let end = bytes.indexOf(10); end >= 0; end = bytes.indexOf(10, at)) {
    try {
      messages.push(JSON.parse(bytes.toString('utf8', at, end)) as Message);
    } catch {
      break;
    }
    at = end + 1;
  }
  if (at < bytes.length) truncateSync(path, at);
  return messages;
}

function openCalls(messages: readonly Message[]): { id: string; name: string }[] {
  const open = new Map<string, string>();
  for (const { content } of messages)
    for (const part of typeof content === 'string' ? [] : content) {
      if (part.type === 'tool-call') open.set(part.toolCallId, part.toolName);
      else if (part.type === 'tool-result') open.delete(part.toolCallId);
    }
  return [...open].map(([id, name]) => ({ id, name }));
}

// What the agents wrote down of themselves, read as it comes: when each began, whether its work was done, who of them lives.
import { closeSync, openSync, readSync } from 'node:fs';
import { textOf } from '../workspace.ts';
import { type Note, parseNote } from './work.ts';

export class Notes {
  readonly all: Note[] = [];
  /** Agents of one task that lived at the same time. */
  readonly doubles: string[] = [];
  readonly #path: string;
  readonly #last = new Map<string, Note>();
  readonly #open = new Map<string, Note>();
  #at = 0;

  constructor(path: string) {
    this.#path = path;
  }

  get open(): Note[] {
    return [...this.#open.values()];
  }

  /** Reads on; returns what is new. */
  read(): Note[] {
    const fd = openSync(this.#path, 'r');
    const buffer = Buffer.alloc(1 << 20);
    const text = buffer.toString('utf8', 0, readSync(fd, buffer, 0, buffer.length, this.#at));
    closeSync(fd);
    const whole = text.slice(0, text.lastIndexOf('\n') + 1);
    this.#at += Buffer.byteLength(whole);
    const fresh = whole.split('\n').filter(Boolean).map(parseNote);
    for (const note of fresh) this.#take(note);
    return fresh;
  }

  #take(note: Note): void {
    this.all.push(note);
    if (note.what === 'good') {
      this.#open.delete(note.id);
      return;
    }
    const before = this.#last.get(note.id);
    if (before && before.pid !== note.pid && this.#lives(before))
      this.doubles.push(`two agents of ${note.id} at once: ${before.pid} and ${note.pid}`);
    this.#last.set(note.id, note);
    this.#open.set(note.id, note);
  }

  #lives({ id, pid, run }: Note): boolean {
    const environment = textOf(`/proc/${pid}/environ`);
    return environment.includes(`TOWPATH_TASK_ID=${id}\0`) && environment.includes(`TOWPATH_ATTEMPT=${run}\0`);
  }
}

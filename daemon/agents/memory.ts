// What a reader of an agent's output remembers, as plain JSON: a daemon that starts goes on reading from there.

/** A reader's state with the tool calls that are open; all else is the reader's own. */
export abstract class Memory<State extends { open: Set<string> }> {
  protected s: State;

  constructor(begin: State) {
    this.s = begin;
  }

  get state(): unknown {
    return { ...this.s, open: [...this.s.open] };
  }

  /** A state of an older version may lack what is new. */
  restore(state: unknown): void {
    const { open, ...rest } = state as Omit<State, 'open'> & { open: string[] };
    this.s = { ...this.s, ...rest, open: new Set(open) };
  }

  get openTools(): number {
    return this.s.open.size;
  }
}

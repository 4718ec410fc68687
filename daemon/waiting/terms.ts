// What keeps a task waiting, in a word.

/** `until`: a time in ms, `slot` (something that runs must end first), or `never` (a person or the world must act). */
export interface Wait {
  reason: string;
  until: number | 'slot' | 'never';
  /** It is as it should be that this daemon does not run it: a drain neither waits for it nor fails for it. */
  fine?: boolean;
}

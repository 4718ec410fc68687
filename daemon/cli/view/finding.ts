// One thing that doctor found.

export interface Finding {
  area: string;
  level: 'ok' | 'warn' | 'error';
  what: string;
  /** What to do, often a literal command; empty when there is nothing to do. */
  next: string;
}

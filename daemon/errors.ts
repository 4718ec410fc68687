// The one error class: a stable code, what went wrong and where, what to do next, and the exit status it stands for.

/** Exit statuses of the command line: done, failed, wrong usage, refused input, not found, daemon not running. */
export const EXIT = { ok: 0, failed: 1, usage: 2, refused: 3, not_found: 4, not_running: 5 } as const;

/** Every code that Towpath can answer with; docs/errors.md lists each one (a test holds them together). */
export const ERROR_CODES = {
  bad_usage: EXIT.usage,
  bad_settings: EXIT.refused,
  no_workspace: EXIT.not_found,
  task_refused: EXIT.refused,
  workflow_refused: EXIT.refused,
  task_not_found: EXIT.not_found,
  not_found: EXIT.not_found,
  wrong_state: EXIT.failed,
  daemon_running: EXIT.failed,
  daemon_not_running: EXIT.not_running,
  filesystem: EXIT.failed,
  git: EXIT.failed,
  agent: EXIT.failed,
  hook: EXIT.failed,
  failed: EXIT.failed,
} as const;

export type ErrorCode = keyof typeof ERROR_CODES;

export class TowpathError extends Error {
  override name = 'TowpathError';
  readonly code: ErrorCode;
  /** What the reader can do about it, as an imperative; may be empty. */
  readonly next: string;

  constructor(code: ErrorCode, message: string, next = '', options?: ErrorOptions) {
    super(message, options);
    this.code = code;
    this.next = next;
  }

  get exit(): number {
    return ERROR_CODES[this.code];
  }

  /** One line: what, where, what to do next. */
  get line(): string {
    return this.next ? `${this.message}: ${this.next}` : this.message;
  }
}

/** The text of anything that was thrown, on one line and bounded. */
export function messageOf(thrown: unknown): string {
  const text = thrown instanceof TowpathError ? thrown.line : thrown instanceof Error ? thrown.message : String(thrown);
  return text.replace(/\s*\n\s*/g, ' ').slice(0, 2000);
}

/** The system error code (`ENOENT` …) of a thrown value, if it carries one. */
export function errno(thrown: unknown): string | undefined {
  return (thrown as NodeJS.ErrnoException | undefined)?.code;
}

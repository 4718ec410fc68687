// What every command takes.

/** Options that every command takes. */
export interface Common {
  workspace?: string;
  json?: boolean;
  debug?: boolean;
}

// What can be wrong with a repository, as one error with a kind that the caller can tell apart.
import { TowpathError } from '../errors.ts';

export type GitProblemKind =
  | 'not_a_repo'
  | 'no_commit'
  | 'bare'
  | 'detached'
  | 'dirty'
  | 'branch_exists'
  | 'path_in_way'
  | 'base_missing'
  | 'bad_branch'
  | 'conflict'
  | 'submodules'
  | 'git_failed'
  /** A remote did not answer, or broke off: in a while it may. */
  | 'unreachable'
  /** A live git of somebody else holds a lock, git was killed, or the disk is full: in a while it may work. */
  | 'busy';

/** An error of code `git`. `kind` says which; `files` names the paths it is about (conflicts, a dirty tree), else it is empty. */
export class GitProblem extends TowpathError {
  override name = 'GitProblem';
  readonly kind: GitProblemKind;
  readonly files: string[];

  constructor(kind: GitProblemKind, message: string, next = '', files: string[] = [], options?: ErrorOptions) {
    super('git', message, next, options);
    this.kind = kind;
    this.files = files;
  }
}

/** A list of paths for one line of text: the first five, and how many more. */
export function nameFiles(files: string[]): string {
  const shown = files.slice(0, 5).map((file) => (/[\p{Cc}]/u.test(file) ? JSON.stringify(file) : file));
  return shown.join(', ') + (files.length > 5 ? ` and ${files.length - 5} more` : '');
}

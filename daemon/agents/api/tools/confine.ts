// Keeps paths inside the worktree: by their real place, links followed, also for what is not there yet.
import { lstatSync, realpathSync } from 'node:fs';
import { isAbsolute, join, relative, resolve, sep } from 'node:path';
import { errno } from '../../../errors.ts';
import { Refusal } from './tool.ts';

export class Worktree {
  /** Its real path. */
  readonly root: string;
  readonly #named: string;

  constructor(dir: string) {
    this.#named = resolve(dir);
    this.root = realpathSync(dir);
  }

  /** The real path of what the model names, which no link leads out of. Throws `Refusal`. */
  readable(path: string): string {
    if (path.includes('\0')) throw new Refusal('a path holds no NUL');
    const full = resolve(this.root, path);
    const below = [this.root, this.#named].map((base) => relative(base, full)).find((to) => !leaves(to));
    if (below === undefined) throw new Refusal(`${path} is outside the worktree: work inside ${this.root}`);
    return this.#walk(path, below.split(sep).filter(Boolean));
  }

  /** The same for a file to be written: git's own files are not. */
  writable(path: string): string {
    const real = this.readable(path);
    const names = this.name(real).split(sep);
    if (real === this.root) throw new Refusal(`${path} is the worktree itself: name a file in it`);
    if (names.some((name) => name.toLowerCase() === '.git'))
      throw new Refusal(`${path}: git's own files stay as they are`);
    return real;
  }

  /** A real path as the model shall see it. */
  name(real: string): string {
    return relative(this.root, real) || '.';
  }

  #walk(path: string, names: string[]): string {
    let at = this.root;
    for (const [n, name] of names.entries()) {
      const next = join(at, name);
      const found = kindOf(next);
      if (found === 'nothing') return join(next, ...names.slice(n + 1));
      at = found === 'link' ? this.#follow(path, next) : next;
    }
    return at;
  }

  #follow(path: string, link: string): string {
    let real: string;
    try {
      real = realpathSync(link);
    } catch {
      throw new Refusal(`${path} goes through a link that leads nowhere`);
    }
    if (leaves(relative(this.root, real))) throw new Refusal(`${path} leads outside the worktree through a link`);
    return real;
  }
}

const leaves = (to: string): boolean => to === '..' || to.startsWith(`..${sep}`) || isAbsolute(to);

function kindOf(path: string): 'link' | 'nothing' | 'other' {
  try {
    return lstatSync(path).isSymbolicLink() ? 'link' : 'other';
  } catch (thrown) {
    if (errno(thrown) === 'ENOENT') return 'nothing';
    if (errno(thrown) === 'ENOTDIR') throw new Refusal(`${path}: a file stands where a folder would have to be`);
    throw thrown;
  }
}

// What the configuration is made from, and what comes of it.
import type { Language } from '../kit.ts';

export type Part = 'editorconfig' | 'gitignore' | 'gitattributes' | 'formatter' | 'linter' | 'ci';

/** What the files are made from. */
export interface Facts {
  all: readonly string[];
  language: Language | null;
  manifest: Record<string, unknown> | null;
  tool: 'biome' | 'prettier';
  indent: '2' | '4' | 'tab';
  width: number;
  parts: readonly Part[];
  ci: 'github' | 'gitlab';
}

/** Files by path, and packages that they need and that are not there yet. */
export interface Made {
  files: Record<string, string>;
  install: string[];
}

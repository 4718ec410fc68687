// What is asked for, what is planned, and the words of a name.
export interface Inputs {
  name: string;
  language: 'auto' | 'typescript' | 'javascript' | 'python';
  dir?: string;
  description?: string;
  test: boolean;
  export: boolean;
}

/** What is to be there afterwards. `made` is written only where nothing is; `edited` is a file as it is to be. */
export interface Planned {
  source: string;
  test: string | null;
  index: string | null;
  made: Record<string, string>;
  edited: Record<string, string>;
}

/** The words of a name, in lower case. */
export const wordsOf = (name: string): string[] =>
  name
    .replace(/([a-z0-9])([A-Z])/g, '$1-$2')
    .split(/[-_]/)
    .map((word) => word.toLowerCase());
export const camel = ([first = '', ...rest]: string[]): string =>
  first + rest.map((word) => word[0]!.toUpperCase() + word.slice(1)).join('');

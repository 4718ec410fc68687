// Files that no task may change: CI files, test settings, whatever `protect:` names.
import picomatch from 'picomatch';

/** The changed files that match a protected glob. A glob without a slash matches a name in any folder. */
export function protectedFiles(files: string[], globs: string[]): string[] {
  if (globs.length === 0) return [];
  const matchers = globs.map((glob) =>
    picomatch(glob.includes('/') ? glob.replace(/^\//, '') : `**/${glob}`, { dot: true }),
  );
  const below = globs.map((glob) => `${glob.replace(/^\//, '').replace(/\/+$/, '')}/`);
  return files.filter(
    (file) => matchers.some((matches) => matches(file)) || below.some((folder) => file.startsWith(folder)),
  );
}

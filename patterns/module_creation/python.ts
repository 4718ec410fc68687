// The layout of Python: the package, its tests, and the names that its __init__.py hands on.
import { posix } from 'node:path';
import { text } from '../kit.ts';
import { type Inputs, type Planned, wordsOf } from './words.ts';

const { basename, dirname, join } = posix;

export function python(inputs: Inputs, all: readonly string[]): Planned {
  const dir = inputs.dir ?? packageDir(all);
  const name = wordsOf(inputs.name).join('_');
  const source = join(dir, `${name}.py`);
  const about = inputs.description ?? `${wordsOf(inputs.name).join(' ')}.`;
  const doc = about.replaceAll('\\', '\\\\').replaceAll('"""', "'''");
  const made: Record<string, string> = {};
  const edited: Record<string, string> = {};
  made[source] =
    `"""${doc.endsWith('"') ? `${doc} ` : doc}"""\n\n\ndef ${name}():\n    raise NotImplementedError("${name} is not implemented")\n`;
  const path = join(dir, '__init__.py');
  const init = all.includes(path) ? path : null;
  const module = [...(init ? dir.split('/').filter((part) => part !== 'src') : []), name].join('.');
  let test: string | null = null;
  if (inputs.test) {
    const tests = all.filter((one) => /^(test_.*|.*_test)\.py$/.test(basename(one)));
    const behind = tests.length > 0 && tests.every((one) => one.endsWith('_test.py'));
    const folder = tests.length > 0 ? dirname(tests.find((one) => /^tests?\//.test(one)) ?? tests[0]!) : 'tests';
    test = join(folder, behind ? `${name}_test.py` : `test_${name}.py`);
    made[test] = usesPytest(all, tests)
      ? `from ${module} import ${name}\n\n\ndef test_${name}_is_there():\n    assert callable(${name})\n`
      : `import unittest\n\nfrom ${module} import ${name}\n\n\nclass Test${className(name)}(unittest.TestCase):\n    def test_is_there(self):\n        self.assertTrue(callable(${name}))\n\n\nif __name__ == "__main__":\n    unittest.main()\n`;
  }
  if (inputs.export && init) {
    const before = text(init) ?? '';
    if (!new RegExp(`^from \\.${name} import `, 'm').test(before)) edited[init] = withExport(before, name);
  }
  return { source, test, index: inputs.export ? init : null, made, edited };
}

const className = (name: string): string =>
  name
    .split('_')
    .map((word) => word[0]!.toUpperCase() + word.slice(1))
    .join('');

/** The package of the project: `src/<name>` or `<name>`; where there are several, the one that the project is called by. */
function packageDir(all: readonly string[]): string {
  const found = all
    .filter((path) => basename(path) === '__init__.py')
    .map((path) => dirname(path))
    .filter((path) => /^(src\/)?[^/]+$/.test(path) && !/^(tests?|docs|examples?)$/.test(path));
  const project = /^name\s*=\s*["']([^"']+)["']/m
    .exec(text('pyproject.toml') ?? '')?.[1]
    ?.toLowerCase()
    .replace(/[-.]/g, '_');
  const own = found.find((path) => basename(path) === project) ?? found[0];
  if (own === undefined) throw new Error('dir: no package (a folder with __init__.py) was found: name the folder');
  return own;
}

function usesPytest(all: readonly string[], tests: readonly string[]): boolean {
  const named = ['pyproject.toml', 'setup.cfg', 'tox.ini', ...all.filter((path) => /^requirements.*\.txt$/.test(path))];
  if (
    all.includes('pytest.ini') ||
    all.includes('conftest.py') ||
    named.some((path) => /\bpytest\b/.test(text(path) ?? ''))
  )
    return true;
  return (
    tests.some((path) => /^def test_/m.test(text(path) ?? '')) &&
    !tests.some((path) => /unittest/.test(text(path) ?? ''))
  );
}

/** One more import after the last of its kind, and one more name in __all__ where that is a list. */
function withExport(before: string, name: string): string {
  const line = `from .${name} import ${name}\n`;
  const last = [...before.matchAll(/^from \.\w+ import (?:\([^)]*\)|[^\n(]*)\n?/gm)].at(-1);
  const at = last
    ? last.index + last[0].length
    : (/^(?:\s*(?:"""[\s\S]*?"""|#[^\n]*)\n?)*/.exec(before)?.[0].length ?? 0);
  const head = before.slice(0, at);
  const gap = head === '' || head.endsWith('\n') ? '' : '\n';
  const joined = `${head}${gap}${line}${before.slice(at)}`;
  return joined.replace(/^(__all__\s*=\s*\[)([^\]]*)\]/m, (_, open: string, names: string) => {
    if (!names.includes('\n')) return `${open}${names.trim() ? `${names.trim().replace(/,$/, '')}, ` : ''}"${name}"]`;
    const indent = /\n([ \t]+)\S/.exec(names)?.[1] ?? '    ';
    return `${open}${names.trimEnd().replace(/,?$/, ',')}\n${indent}"${name}",\n]`;
  });
}

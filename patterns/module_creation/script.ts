// The layout of TypeScript and JavaScript: folders, endings, names, imports and the test framework, all by what is there.
import { posix } from 'node:path';
import { json, most, packages, text } from '../kit.ts';
import { camel, type Inputs, type Planned, wordsOf } from './words.ts';

const { basename, dirname, join, relative } = posix;
const TEST = /\.(test|spec)\.[cm]?[jt]sx?$/;
const SOURCE = /\.([cm]?[jt]s)x?$/;

export function script(inputs: Inputs, all: readonly string[], language: 'typescript' | 'javascript'): Planned {
  const letter = language === 'typescript' ? 't' : 'j';
  const manifest = json('package.json');
  const sources = all.filter(
    (path) =>
      SOURCE.test(path) &&
      !path.endsWith('.d.ts') &&
      !TEST.test(path) &&
      !/config\.[cm]?[jt]s$/.test(path) &&
      !isTestDir(path),
  );
  const own = sources.filter((path) => new RegExp(`\\.[cm]?${letter}sx?$`).test(path));
  const dir = inputs.dir ?? sourceDir(own);
  const near = own.filter((path) => path.startsWith(`${dir}/`) || dir === '.');
  const ending =
    most(near.flatMap((path) => new RegExp(`\\.([cm]?${letter}s)$`).exec(path)?.[1] ?? [])) ?? `${letter}s`;
  const esm = language === 'typescript' || ending === 'mjs' || (ending === 'js' && manifest?.['type'] === 'module');
  const words = wordsOf(inputs.name);
  const stem = stemOf(words, near);
  const name = camel(words);
  const source = join(dir, `${stem}.${ending}`);
  const suffix = importEnding(near, ending, esm);
  const about = inputs.description ?? `${words.join(' ')}.`;

  const made: Record<string, string> = {};
  const edited: Record<string, string> = {};
  const body = `  throw new Error('${name} is not implemented');\n`;
  made[source] = esm
    ? `/** ${about.replaceAll('*/', '* /')} */\nexport function ${name}()${letter === 't' ? ': void' : ''} {\n${body}}\n`
    : `/** ${about.replaceAll('*/', '* /')} */\nfunction ${name}() {\n${body}}\n\nmodule.exports = { ${name} };\n`;
  let test: string | null = null;
  if (inputs.test) {
    const tests = all.filter(
      (path) => new RegExp(`\\.[cm]?${letter}sx?$`).test(path) && (TEST.test(path) || isTestDir(path)),
    );
    test = testPath(tests, dir, stem, ending);
    const from = relative(dirname(test), join(dir, stem));
    made[test] = testText(name, `${from.startsWith('.') ? from : `./${from}`}${suffix}`, esm, packages(manifest));
  }
  let index: string | null = null;
  if (inputs.export) {
    index = near.find((path) => dirname(path) === dir && /^index\.[cm]?[jt]s$/.test(basename(path))) ?? null;
    const before = index === null ? null : text(index);
    if (index !== null && before !== null && index !== source) {
      const line = esm
        ? `export * from './${stem}${suffix}';`
        : `module.exports.${name} = require('./${stem}').${name};`;
      const known = new RegExp(`(from|require\\()\\s*['"]\\./${stem}(\\.[cm]?[jt]s)?['"]`).test(before);
      if (!known) edited[index] = `${before}${before === '' || before.endsWith('\n') ? '' : '\n'}${line}\n`;
    }
    const exported = exportsWith(manifest, stem, `./${source}`);
    if (exported) edited['package.json'] = exported;
  }
  return { source, test, index, made, edited };
}

const isTestDir = (path: string): boolean => /(^|\/)(tests?|__tests__|spec)\//.test(path);

/** The folder that most sources lie below, at the top of the repository. */
function sourceDir(sources: readonly string[]): string {
  const tops = sources.map((path) => (path.includes('/') ? path.split('/')[0]! : '.'));
  const known = ['src', 'lib', 'source'].find((name) => tops.includes(name));
  if (known) return known;
  const top = most(tops.filter((name) => !/^(scripts?|bench|examples?|docs|\..+)$/.test(name)));
  return top ?? (tops.includes('.') ? '.' : 'src');
}

/** date-parser, dateParser or date_parser: as most of the others are written. */
function stemOf(words: string[], near: readonly string[]): string {
  const style = most(
    near.flatMap((path) => {
      const stem = basename(path).replace(SOURCE, '');
      return stem.includes('-') ? ['kebab'] : stem.includes('_') ? ['snake'] : /[a-z][A-Z]/.test(stem) ? ['camel'] : [];
    }),
  );
  return style === 'camel' ? camel(words) : words.join(style === 'snake' ? '_' : '-');
}

/** How others are imported: './a.ts', './a.js' or './a'. */
function importEnding(near: readonly string[], ending: string, esm: boolean): string {
  const used = near.flatMap((path) =>
    [...(text(path) ?? '').matchAll(/(?:from|require\()\s*['"]\.{1,2}\/[^'"]*?(\.[cm]?[jt]s)?['"]/g)].map(
      (found) => found[1] ?? '',
    ),
  );
  const told = most(used);
  if (told !== undefined) return told;
  if (!ending.endsWith('ts')) return esm ? `.${ending}` : '';
  // Comments and trailing commas are allowed there, so it is no JSON.
  const options = text('tsconfig.json') ?? '';
  if (/"allowImportingTsExtensions"\s*:\s*true/.test(options)) return `.${ending}`;
  return /"(?:module|moduleResolution)"\s*:\s*"(?:nodenext|node16)"/i.test(options)
    ? `.${ending.replace('t', 'j')}`
    : '';
}

/** Beside its source, or in the folder of the tests, by what most of the tests do. */
function testPath(tests: readonly string[], dir: string, stem: string, ending: string): string {
  const suffix = most(tests.flatMap((path) => TEST.exec(path)?.[1] ?? [])) ?? 'test';
  const place = most(
    tests.map((path) => {
      const folder = /^(.*?(?:^|\/)(?:tests?|__tests__|spec))\//.exec(path)?.[1];
      return folder === undefined ? 'beside' : folder.endsWith('__tests__') ? '__tests__' : folder;
    }),
  );
  const plain = tests.length > 0 && tests.every((path) => !TEST.test(path));
  const name = plain ? `${stem}.${ending}` : `${stem}.${suffix}.${ending}`;
  if (place === 'beside') return join(dir, name);
  return place === '__tests__' ? join(dir, '__tests__', name) : join(place ?? 'test', name);
}

function testText(name: string, from: string, esm: boolean, known: ReadonlySet<string>): string {
  const load = (names: string, what: string) =>
    esm ? `import ${names} from '${what}';\n` : `const ${names} = require('${what}');\n`;
  const own = load(`{ ${name} }`, from);
  const throws = known.has('vitest') || known.has('jest') || known.has('@jest/globals');
  const names = '{ describe, expect, it }';
  if (throws) {
    // Jest puts them into every file by itself.
    const head = known.has('vitest')
      ? load(names, 'vitest')
      : known.has('@jest/globals')
        ? load(names, '@jest/globals')
        : '';
    return `${head}${own}\ndescribe('${name}', () => {\n  it('is there', () => {\n    expect(typeof ${name}).toBe('function');\n  });\n});\n`;
  }
  const assert = esm ? load('assert', 'node:assert/strict') : load('assert', 'node:assert/strict');
  const head = known.has('mocha') ? assert : `${assert}${load('{ describe, it }', 'node:test')}`;
  return `${head}${own}\ndescribe('${name}', () => {\n  it('is there', () => {\n    assert.equal(typeof ${name}, 'function');\n  });\n});\n`;
}

/** package.json with one more path of its own, where it lists such paths already; else null. */
function exportsWith(manifest: Record<string, unknown> | null, stem: string, path: string): string | null {
  const listed = manifest?.['exports'];
  if (typeof listed !== 'object' || listed === null || Array.isArray(listed) || `./${stem}` in listed) return null;
  const like = Object.entries(listed).some(
    ([key, to]) => key.startsWith('./') && typeof to === 'string' && dirname(to) === dirname(path),
  );
  if (!like) return null;
  const before = text('package.json')!;
  const indent = /^([ \t]+)"/m.exec(before)?.[1] ?? '  ';
  return `${JSON.stringify({ ...manifest, exports: { ...listed, [`./${stem}`]: path } }, null, indent)}\n`;
}

// Adds the configuration that a repository lacks. What is there stays, but for .gitignore, which gets the lines that it lacks.
import { files, json, type Language, languageOf, main, most, packages, say, text, write } from '../kit.ts';
import { ci } from './ci.ts';
import type { Facts, Made, Part } from './facts.ts';
import { formatter, linter } from './tools.ts';

interface Inputs {
  parts: Part[];
  language: 'auto' | Language;
  tool: 'auto' | 'biome' | 'prettier';
  ci: 'github' | 'gitlab';
  indent: 'auto' | '2' | '4' | 'tab';
  line_width: number;
  ignore: string[];
  overwrite: boolean;
}

const IGNORED: Record<Language | 'any', string[]> = {
  any: ['.DS_Store', '*.log', '.env', '.env.*', '!.env.example'],
  typescript: ['node_modules/', 'dist/', 'coverage/', '*.tsbuildinfo'],
  javascript: ['node_modules/', 'dist/', 'coverage/'],
  python: [
    '__pycache__/',
    '*.py[cod]',
    '.venv/',
    'dist/',
    'build/',
    '*.egg-info/',
    '.pytest_cache/',
    '.ruff_cache/',
    '.coverage',
  ],
};

await main<Inputs>(({ inputs }) => {
  const all = files();
  const manifest = json('package.json');
  const facts: Facts = {
    all,
    manifest,
    language: inputs.language === 'auto' ? languageOf(all) : inputs.language,
    tool: inputs.tool === 'auto' ? toolOf(all, packages(manifest)) : inputs.tool,
    indent: inputs.indent === 'auto' ? indentOf(all) : inputs.indent,
    width: inputs.line_width,
    parts: inputs.parts,
    ci: inputs.ci,
  };
  const make: Record<Part, (facts: Facts) => Made> = {
    editorconfig,
    gitignore: (given) => gitignore(given, inputs.ignore),
    gitattributes: () => ({ files: { '.gitattributes': '* text=auto eol=lf\n' }, install: [] }),
    formatter,
    linter,
    ci,
  };
  const written: string[] = [];
  const kept: string[] = [];
  const install = new Set<string>();
  for (const part of inputs.parts) {
    const made = make[part](facts);
    if (Object.keys(made.files).length === 0) say(`${part}: nothing for this repository`);
    for (const [path, content] of Object.entries(made.files)) {
      const there = text(path);
      if (there !== null && there !== content && path !== '.gitignore' && !inputs.overwrite) {
        kept.push(path);
        say(`${path}: is there and differs: it stays as it is (overwrite: true replaces it)`);
      } else if (write(path, content)) {
        written.push(path);
        say(`${path}: ${there === null ? 'made' : 'changed'}`);
      }
    }
    for (const name of made.install) install.add(name);
  }
  const missing = [...install].sort();
  if (missing.length > 0) say(`still to be installed: ${missing.join(', ')}`);
  const output = [
    written.length ? `wrote ${written.join(', ')}` : 'nothing to write',
    kept.length ? `kept ${kept.join(', ')}, which differ` : '',
    missing.length ? `to be installed: ${missing.join(', ')}` : '',
  ];
  return {
    output: output.filter(Boolean).join('; '),
    outputs: { language: facts.language, written, kept, install: missing },
  };
});

function toolOf(all: readonly string[], known: ReadonlySet<string>): 'biome' | 'prettier' {
  if (known.has('@biomejs/biome') || all.some((path) => /^biome\.jsonc?$/.test(path))) return 'biome';
  const config = all.some((path) => /^(\.prettierrc|\.eslintrc|eslint\.config\.|prettier\.config\.)/.test(path));
  return config || known.has('prettier') || known.has('eslint') ? 'prettier' : 'biome';
}

/** What most files are indented with, by the first line of each that is. */
function indentOf(all: readonly string[]): '2' | '4' | 'tab' {
  const told = all
    .filter((path) => /\.([cm]?[jt]sx?|py|json|css|html|go|rs|java|sh)$/.test(path) && !/lock/.test(path))
    .flatMap((path) => {
      const first = /^(\t+|(?: {2})+)\S/m.exec(text(path) ?? '')?.[1];
      return first === undefined ? [] : [first.startsWith('\t') ? 'tab' : first.length % 4 === 0 ? '4' : '2'];
    });
  return (most(told) as '2' | '4' | 'tab' | undefined) ?? '2';
}

function editorconfig({ indent, language }: Facts): Made {
  const style = indent === 'tab' ? 'indent_style = tab' : `indent_style = space\nindent_size = ${indent}`;
  const python = language === 'python' ? '\n[*.py]\nindent_style = space\nindent_size = 4\n' : '';
  return {
    files: {
      '.editorconfig': `root = true\n\n[*]\ncharset = utf-8\nend_of_line = lf\ninsert_final_newline = true\ntrim_trailing_whitespace = true\n${style}\n${python}\n[*.md]\ntrim_trailing_whitespace = false\n\n[Makefile]\nindent_style = tab\n`,
    },
    install: [],
  };
}

/** The lines that are missing, after those that are there. */
function gitignore({ language }: Facts, more: readonly string[]): Made {
  const before = text('.gitignore') ?? '';
  const known = new Set(before.split(/\r?\n/).map((line) => line.trim().replace(/^\/|\/$/g, '')));
  const wanted = [...(language ? IGNORED[language] : []), ...IGNORED.any, ...more];
  const lacking = [...new Set(wanted)].filter((line) => !known.has(line.replace(/^\/|\/$/g, '')));
  if (lacking.length === 0) return { files: { '.gitignore': before }, install: [] };
  const gap = before === '' || before.endsWith('\n') ? '' : '\n';
  return { files: { '.gitignore': `${before}${gap}${lacking.join('\n')}\n` }, install: [] };
}

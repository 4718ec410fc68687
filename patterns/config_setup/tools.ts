// Formatter and linter: Biome, or Prettier with ESLint; Ruff for Python. What is configured under another name counts as there.
import { packages, text } from '../kit.ts';
import type { Facts, Made } from './facts.ts';

const NOTHING: Made = { files: {}, install: [] };
const json = (value: unknown): string => `${JSON.stringify(value, null, 2)}\n`;
const without = (known: ReadonlySet<string>, ...names: string[]): string[] => names.filter((name) => !known.has(name));

export function formatter(facts: Facts): Made {
  const { all, language, manifest, tool, indent, width } = facts;
  if (language === 'python') return ruff(facts);
  if (language === null) return NOTHING;
  if (tool === 'biome') return biome(facts);
  if (
    manifest?.['prettier'] !== undefined ||
    all.some((path) => /^(\.prettierrc(?!\.json$)|prettier\.config\.)/.test(path))
  )
    return NOTHING;
  const style = indent === 'tab' ? { useTabs: true } : { tabWidth: Number(indent) };
  return {
    files: { '.prettierrc.json': json({ printWidth: width, ...style }) },
    install: without(packages(manifest), 'prettier'),
  };
}

export function linter(facts: Facts): Made {
  const { all, language, manifest, tool } = facts;
  if (language === 'python') return ruff(facts);
  if (language === null) return NOTHING;
  if (tool === 'biome') return biome(facts);
  if (
    manifest?.['eslintConfig'] !== undefined ||
    all.some((path) => /^(\.eslintrc|eslint\.config\.(?!mjs$))/.test(path))
  )
    return NOTHING;
  const typed = language === 'typescript';
  const lines = typed
    ? [
        "import js from '@eslint/js';",
        "import ts from 'typescript-eslint';",
        '',
        'export default ts.config(js.configs.recommended, ...ts.configs.recommended);',
      ]
    : ["import js from '@eslint/js';", '', 'export default [js.configs.recommended];'];
  return {
    files: { 'eslint.config.mjs': `${lines.join('\n')}\n` },
    install: without(packages(manifest), 'eslint', '@eslint/js', ...(typed ? ['typescript-eslint'] : [])),
  };
}

function biome({ all, manifest, indent, width, parts }: Facts): Made {
  if (all.includes('biome.jsonc')) return NOTHING;
  const style = indent === 'tab' ? { indentStyle: 'tab' } : { indentStyle: 'space', indentWidth: Number(indent) };
  const settings = {
    vcs: { enabled: true, clientKind: 'git', useIgnoreFile: true },
    formatter: { enabled: parts.includes('formatter'), ...style, lineWidth: Math.min(width, 320) },
    linter: { enabled: parts.includes('linter'), rules: { recommended: true } },
  };
  return { files: { 'biome.json': json(settings) }, install: without(packages(manifest), '@biomejs/biome') };
}

function ruff({ all, width, parts }: Facts): Made {
  const project = text('pyproject.toml') ?? '';
  if (/^\[tool\.ruff/m.test(project) || all.includes('.ruff.toml')) return NOTHING;
  const lint = parts.includes('linter') ? '\n[lint]\nselect = ["E", "F", "I", "UP", "B"]\n' : '';
  const needed = [project, ...all.filter((path) => /^requirements.*\.txt$/.test(path)).map((path) => text(path) ?? '')];
  return {
    files: { 'ruff.toml': `line-length = ${Math.min(width, 320)}\n${lint}` },
    install: needed.some((one) => /\bruff\b/.test(one)) ? [] : ['ruff'],
  };
}

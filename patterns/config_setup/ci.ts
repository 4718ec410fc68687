// A CI that runs what the repository can run: the scripts of package.json, or Ruff and the tests of Python.
import { packages, text } from '../kit.ts';
import type { Facts, Made } from './facts.ts';

/** Scripts that a CI runs, in this order. */
const SCRIPTS = ['lint', 'format:check', 'typecheck', 'types', 'type-check', 'build', 'test'];
const MANAGERS = [
  { lock: 'pnpm-lock.yaml', name: 'pnpm', install: 'corepack enable && pnpm install --frozen-lockfile' },
  { lock: 'yarn.lock', name: 'yarn', install: 'corepack enable && yarn install --immutable' },
  { lock: 'package-lock.json', name: 'npm', install: 'npm ci' },
];

export function ci(facts: Facts): Made {
  const { all, language } = facts;
  if (language === null) return { files: {}, install: [] };
  const steps = language === 'python' ? pythonSteps(facts) : scriptSteps(facts);
  const version = language === 'python' ? pythonVersion() : nodeVersion(facts);
  if (facts.ci === 'gitlab') {
    const image = language === 'python' ? `python:${version}` : `node:${version}`;
    const body = `image: ${image}\n\ncheck:\n  script:\n${steps.map((step) => `    - ${step}\n`).join('')}`;
    return { files: { '.gitlab-ci.yml': body }, install: [] };
  }
  // One that is called otherwise does it already.
  const other = all.some(
    (path) => /^\.github\/workflows\/(?!ci\.yml$).*\.ya?ml$/.test(path) && /\bpull_request\b/.test(text(path) ?? ''),
  );
  if (other) return { files: {}, install: [] };
  const setup =
    language === 'python'
      ? `      - uses: actions/setup-python@v5\n        with:\n          python-version: '${version}'\n`
      : `      - uses: actions/setup-node@v4\n        with:\n          node-version: '${version}'\n`;
  const runs = steps.map((step) => `      - run: ${step}\n`).join('');
  const body = `name: CI\n\non:\n  push:\n    branches: [main]\n  pull_request:\n\npermissions:\n  contents: read\n\njobs:\n  check:\n    runs-on: ubuntu-latest\n    steps:\n      - uses: actions/checkout@v4\n${setup}${runs}`;
  return { files: { '.github/workflows/ci.yml': body }, install: [] };
}

function scriptSteps({ all, manifest }: Facts): string[] {
  const manager = MANAGERS.find(({ lock }) => all.includes(lock)) ?? { name: 'npm', install: 'npm install' };
  const scripts = (manifest?.['scripts'] ?? {}) as Record<string, unknown>;
  const runs = SCRIPTS.filter((name) => name in scripts).map((name) => `${manager.name} run ${name}`);
  return [manager.install, ...(runs.length > 0 ? runs : [runnerOf(packages(manifest))])];
}

const runnerOf = (known: ReadonlySet<string>): string =>
  known.has('vitest') ? 'npx vitest run' : known.has('jest') ? 'npx jest' : 'node --test';

function pythonSteps({ all, parts }: Facts): string[] {
  const needs = all.filter((path) => /^requirements.*\.txt$/.test(path)).map((path) => `pip install -r ${path}`);
  const own = all.includes('pyproject.toml') || all.includes('setup.py') ? ['pip install -e .'] : [];
  const tests = all.some((path) => /(^|\/)(test_[^/]*|[^/]*_test)\.py$/.test(path));
  const unit =
    tests && all.filter((path) => /test/.test(path)).some((path) => /import unittest/.test(text(path) ?? ''));
  const lint =
    parts.includes('linter') || parts.includes('formatter')
      ? [
          'pip install ruff',
          ...(parts.includes('linter') ? ['ruff check .'] : []),
          ...(parts.includes('formatter') ? ['ruff format --check .'] : []),
        ]
      : [];
  const test = !tests ? [] : unit ? ['python -m unittest discover'] : ['pip install pytest', 'python -m pytest'];
  return [...needs, ...own, ...lint, ...test];
}

function nodeVersion({ manifest }: Facts): string {
  const pinned = /^v?(\d+)/.exec((text('.nvmrc') ?? text('.node-version') ?? '').trim())?.[1];
  const engine = (manifest?.['engines'] as { node?: unknown } | undefined)?.node;
  return pinned ?? /(\d+)/.exec(typeof engine === 'string' ? engine : '')?.[1] ?? '24';
}

const pythonVersion = (): string =>
  /^(\d+\.\d+)/.exec((text('.python-version') ?? '').trim())?.[1] ??
  /requires-python\s*=\s*["'][^\d]*(\d+\.\d+)/.exec(text('pyproject.toml') ?? '')?.[1] ??
  '3.13';

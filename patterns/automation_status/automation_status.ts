// Reports what automation a repository has and lacks, by the files that are there: no date in it, so that only a change changes it.
import { files, inside, json, main, packages, say, text, write } from '../kit.ts';

interface Inputs {
  report: string;
  format: 'auto' | 'markdown' | 'json';
}

interface Area {
  area: string;
  /** What it would be good for. */
  advice: string;
  found: { what: string; where: string }[];
}

/** By a file: what it is a sign of. */
type Signs = readonly (readonly [pattern: RegExp, what: string])[];

const CI: Signs = [
  [/^\.github\/workflows\/[^/]+\.ya?ml$/, 'GitHub Actions'],
  [/^\.gitlab-ci\.yml$/, 'GitLab CI'],
  [/^\.circleci\/config\.yml$/, 'CircleCI'],
  [/^Jenkinsfile$/, 'Jenkins'],
  [/^azure-pipelines\.yml$/, 'Azure Pipelines'],
  [/^\.buildkite\//, 'Buildkite'],
  [/^\.travis\.yml$/, 'Travis CI'],
  [/^bitbucket-pipelines\.yml$/, 'Bitbucket Pipelines'],
];
const HOOKS: Signs = [
  [/^\.husky\/(?!_)[^/.]+$/, 'husky'],
  [/^\.pre-commit-config\.yaml$/, 'pre-commit'],
  [/^\.?lefthook\.ya?ml$/, 'lefthook'],
  [/^\.githooks\//, 'a folder of git hooks'],
  [/^\.?lintstagedrc|^lint-staged\.config\./, 'lint-staged'],
];
const LINTERS: Signs = [
  [/^biome\.jsonc?$/, 'Biome'],
  [/^(\.eslintrc|eslint\.config\.)/, 'ESLint'],
  [/^\.?ruff\.toml$/, 'Ruff'],
  [/^\.flake8$/, 'Flake8'],
  [/^\.?pylintrc$/, 'Pylint'],
  [/^\.golangci\.ya?ml$/, 'golangci-lint'],
  [/^\.?clippy\.toml$/, 'Clippy'],
  [/^\.rubocop\.yml$/, 'RuboCop'],
  [/^\.stylelintrc/, 'Stylelint'],
];
const FORMATTERS: Signs = [
  [/^\.editorconfig$/, 'EditorConfig'],
  [/^(\.prettierrc|prettier\.config\.)/, 'Prettier'],
  [/^biome\.jsonc?$/, 'Biome'],
  [/^\.?ruff\.toml$/, 'Ruff'],
  [/^\.?rustfmt\.toml$/, 'rustfmt'],
  [/^\.clang-format$/, 'clang-format'],
];
const TYPES: Signs = [
  [/^tsconfig[^/]*\.json$/, 'TypeScript'],
  [/^\.?mypy\.ini$/, 'mypy'],
  [/^pyrightconfig\.json$/, 'Pyright'],
];
const UPDATES: Signs = [
  [/^\.github\/dependabot\.ya?ml$/, 'Dependabot'],
  [/^(\.github\/)?\.?renovate(rc)?(\.json5?)?$/, 'Renovate'],
];
const RELEASES: Signs = [
  [/^\.releaserc|^release\.config\./, 'semantic-release'],
  [/^\.changeset\/config\.json$/, 'Changesets'],
  [/^(\.?release-please-(config|manifest))\.json$/, 'release-please'],
  [/^\.goreleaser\.ya?ml$/, 'GoReleaser'],
  [/^cliff\.toml$/, 'git-cliff'],
];
const SECURITY: Signs = [
  [/^\.gitleaks\.toml$/, 'Gitleaks'],
  [/^\.snyk$/, 'Snyk'],
  [/^\.trivyignore$/, 'Trivy'],
  [/^SECURITY\.md$|^\.github\/SECURITY\.md$/, 'a security policy'],
];
const TESTS =
  /(^|\/)([^/]+\.(test|spec)\.[cm]?[jt]sx?|test_[^/]+\.py|[^/]+_test\.(py|go|rb)|[^/]+Test\.(java|kt))$|^tests\/[^/]+\.rs$/;
/** Packages of package.json, and tables of pyproject.toml, that are a sign by themselves. */
const PACKAGES: Record<string, readonly string[]> = {
  tests: ['vitest', 'jest', 'mocha', 'ava', 'tap', '@playwright/test', 'cypress', 'pytest'],
  hooks: ['husky', 'lint-staged', 'simple-git-hooks', 'lefthook'],
  linters: ['eslint', '@biomejs/biome', 'xo', 'standard', 'oxlint', 'ruff', 'pylint', 'flake8'],
  formatters: ['prettier', '@biomejs/biome', 'dprint', 'black', 'ruff'],
  types: ['typescript', 'mypy', 'pyright'],
  releases: ['semantic-release', '@changesets/cli', 'release-it', 'standard-version', 'np'],
};

await main<Inputs>(({ inputs }) => {
  const report = inside(inputs.report);
  const all = files().filter((path) => path !== report);
  const areas = look(all);
  const have = areas.filter(({ found }) => found.length > 0);
  const summary = {
    percent: Math.round((100 * have.length) / areas.length),
    have: have.map(({ area }) => area),
    lack: areas.filter((one) => !have.includes(one)).map(({ area }) => area),
  };
  const asJson = inputs.format === 'json' || (inputs.format === 'auto' && report.endsWith('.json'));
  const changed = write(
    report,
    asJson ? `${JSON.stringify({ ...summary, areas }, null, 2)}\n` : markdown(areas, summary),
  );
  for (const { area, found } of areas)
    say(`${area}: ${found.length ? [...new Set(found.map(({ what }) => what))].join(', ') : 'nothing'}`);
  const output = `${have.length} of ${areas.length} areas are automated (${summary.percent} %); ${report} ${changed ? 'was written' : 'is up to date'}`;
  return { output, outputs: { ...summary, report, changed } };
});

function look(all: readonly string[]): Area[] {
  const manifest = json('package.json');
  const scripts = (manifest?.['scripts'] ?? {}) as Record<string, unknown>;
  const known = packages(manifest);
  const python = ['pyproject.toml', 'setup.cfg', 'requirements-dev.txt', 'requirements.txt'].map(
    (path) => [path, text(path) ?? ''] as const,
  );
  const workflows = all.filter((path) => CI[0]![0].test(path)).map((path) => [path, text(path) ?? ''] as const);

  const by = (signs: Signs) =>
    all.flatMap((where) => signs.flatMap(([sign, what]) => (sign.test(where) ? [{ what, where }] : [])));
  const named = (area: string) =>
    PACKAGES[area]!.flatMap((what) => {
      const listed = python.find(([, body]) => new RegExp(`(^|["'\\[.\\s])${what}\\b`, 'm').test(body));
      return known.has(what) ? [{ what, where: 'package.json' }] : listed ? [{ what, where: listed[0] }] : [];
    });
  const script = (...names: string[]) =>
    names.flatMap((name) => (name in scripts ? [{ what: `script "${name}"`, where: 'package.json' }] : []));
  const doing = (what: string, pattern: RegExp) =>
    workflows.flatMap(([where, body]) => (pattern.test(body) ? [{ what, where }] : []));
  const tests = all.filter((path) => TESTS.test(path));
  const many =
    tests.length > 0
      ? [
          {
            what: `${tests.length} test ${tests.length === 1 ? 'file' : 'files'}`,
            where: `${tests[0]}${tests.length > 1 ? ' …' : ''}`,
          },
        ]
      : [];
  const placeholder = /no test specified/.test(String(scripts['test'] ?? ''));

  const area = (name: string, advice: string, ...found: Area['found'][]): Area => ({
    area: name,
    advice,
    found: found.flat(),
  });
  return [
    area('CI', 'run tests and linters for each change', by(CI)),
    area('Git hooks', 'find what is wrong before it is committed', by(HOOKS), named('hooks')),
    area(
      'Tests',
      'write some, and one command that runs them',
      many,
      named('tests'),
      placeholder ? [] : script('test'),
    ),
    area(
      'Coverage',
      'measure what the tests reach',
      by([[/^\.?(codecov\.ya?ml|coveragerc|nycrc)/, 'coverage settings']]),
      script('coverage'),
      doing('coverage in CI', /codecov|coveralls|--cov|coverage/i),
    ),
    area('Linters', 'find mistakes by reading', by(LINTERS), named('linters'), script('lint')),
    area('Formatters', 'never discuss layout again', by(FORMATTERS), named('formatters'), script('format')),
    area('Types', 'check types', by(TYPES), named('types'), script('types', 'typecheck')),
    area(
      'Dependency updates',
      'let a bot propose them',
      by(UPDATES),
      'renovate' in (manifest ?? {}) ? [{ what: 'Renovate', where: 'package.json' }] : [],
    ),
    area(
      'Releases',
      'let a tag or a merge publish',
      by(RELEASES),
      named('releases'),
      doing(
        'a release workflow',
        /npm publish|twine upload|gh release|action-gh-release|cargo publish|pypi-publish|docker push/,
      ),
    ),
    area(
      'Security',
      'scan code, dependencies and secrets',
      by(SECURITY),
      doing('scan in CI', /codeql|gitleaks|trivy|semgrep|npm audit|pip-audit|osv-scanner/i),
    ),
  ];
}

function cell(value: string): string {
  return value.replaceAll('|', '\\|');
}

function markdown(areas: readonly Area[], summary: { percent: number; have: string[]; lack: string[] }): string {
  const rows = areas.map(({ area, found, advice }) => {
    const what = found.map((one) => `${cell(one.what)} (\`${cell(one.where)}\`)`).join(', ');
    return `| ${area} | ${found.length ? 'yes' : 'no'} | ${what || `_${advice}_`} |`;
  });
  const head = `${summary.have.length} of ${areas.length} areas are automated (${summary.percent} %).`;
  const lack = summary.lack.length ? `\nMissing: ${summary.lack.join(', ')}.\n` : '';
  return `# Automation\n\n${head}\n${lack}\n| area | there | what |\n|---|---|---|\n${rows.join('\n')}\n`;
}

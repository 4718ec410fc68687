// Stands in for aider 0.86 in tests: its flags (and no others), what it prints, its chat history, and its exit code of 0 whatever happened.
import { appendFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs';

/** As in its help, without a value. */
const SWITCHES = [
  ...['yes-always', 'no-stream', 'no-pretty', 'no-auto-commits', 'no-dirty-commits', 'no-gitignore', 'no-fancy-input'],
  ...['no-check-update', 'no-show-release-notes', 'no-detect-urls', 'disable-playwright', 'no-suggest-shell-commands'],
  ...['analytics-disable', 'no-show-model-warnings', 'no-notifications', 'no-watch-files', 'no-auto-lint'],
  ...['no-auto-test', 'restore-chat-history', 'dry-run', 'version', 'help'],
];
const VALUES = [
  ...[
    'lint-cmd',
    'test-cmd',
    'map-tokens',
    'load',
    'env-file',
    'input-history-file',
    'chat-history-file',
    'edit-format',
  ],
  ...['openai-api-base', 'model', 'message-file', 'timeout'],
];

const given: Record<string, string> = {};
const argv = process.argv.slice(2);
for (let n = 0; n < argv.length; n++) {
  const name = argv[n]!.replace(/^--/, '');
  if (SWITCHES.includes(name)) given[name] = '';
  else if (VALUES.includes(name)) given[name] = argv[++n] ?? '';
  else {
    console.error(`usage: aider [-h] [--model MODEL] …\naider: error: unrecognized arguments: ${argv[n]}`);
    process.exit(2);
  }
}
if ('version' in given) {
  console.log('aider 0.86.1');
  process.exit(0);
}
if ('help' in given) {
  console.log([...SWITCHES, ...VALUES].map((name) => `  --${name}`).join('\n'));
  process.exit(0);
}

// The env file wins over the environment, and may refer to it.
for (const line of readFileSync(given['env-file']!, 'utf8').split('\n')) {
  const [, name, value] = /^(\w+)=(.*)$/.exec(line) ?? [];
  if (name) process.env[name] = value!.replace(/\$\{(\w+)\}/g, (_, other: string) => process.env[other] ?? '');
}

const history = given['chat-history-file']!;
const earlier = existsSync(history) && 'restore-chat-history' in given ? readFileSync(history, 'utf8') : '';
const note = (text: string) => appendFileSync(history, text);
/** Broken at the width of the terminal, as its console does. */
const width = Number(process.env['COLUMNS'] ?? 80);
const print = (text: string) => {
  for (const line of text.split('\n'))
    console.log(line.length > width ? line.replace(new RegExp(`(.{1,${width}})(?: |$)`, 'g'), '$1\n').trimEnd() : line);
};
const tell = (text: string) => {
  print(text);
  note(`> ${text}  \n`);
};

note('\n# aider chat started at 2026-11-21 12:00:00\n\n');
const model = given['model'] ?? 'gpt-4o';
tell(`Aider v0.86.1\nModel: ${model} with ${given['edit-format'] ?? 'diff'} edit format\nGit repo: .git with 1 files`);
tell('Repo-map: disabled because map_tokens == 0');
if (earlier) tell('Restored previous conversation history.');
if (!existsSync(given['message-file']!)) {
  tell(`Message file not found: ${given['message-file']}`);
  process.exit(1);
}
const message = readFileSync(given['message-file']!, 'utf8');
print(`\n${message}`);
note(`\n${message.trim().replace(/^/gm, '#### ')}\n\n`);
if (/^[/!]/.test(message)) {
  tell(`It would have run ${message}`);
  process.exit(0);
}

const answer = (text: string, tokens: string) => {
  print(`${text}\n`);
  note(`${text}\n\n`);
  tell(tokens);
};
const edit = (path: string, content: string) => {
  if ('dry-run' in given || given['edit-format'] === 'ask') return tell(`Did not apply edit to ${path} (--dry-run)`);
  writeFileSync(path, content);
  tell(`Applied edit to ${path}`);
};
const refuse = (name: string, text: string, friendly = '') =>
  tell(`litellm.${name}: ${name}: OpenAIException - ${text}${friendly ? `\n${friendly}` : ''}`);
const limited = () => refuse('RateLimitError', 'Rate limit reached', 'The API provider has rate limited you.');

/** What the model does, one word for each run; the last one stays. */
const plan = (process.env['FAKE_AIDER'] ?? 'ok').split(' ');
const runs = earlier.split('# aider chat started').length - 1;
const COST = 'Tokens: 1.2k sent, 50 received. Cost: $0.01 message, $0.01 session.';
switch (plan[Math.min(runs, plan.length - 1)]) {
  case 'ok':
    answer(`I write it. I remember ${runs} earlier runs.`, COST);
    edit('hello.txt', `hello ${runs}\n`);
    break;
  case 'key':
    answer('I tell.', 'Tokens: 12k sent, 3.5k cache write, 500 cache hit, 1.5k received.');
    edit('key.txt', `${process.env['OPENAI_API_KEY']} at ${given['openai-api-base']} for ${model}\n`);
    break;
  case 'bad':
    answer('I write nonsense.', COST);
    edit('hello.txt', 'nonsense\n');
    break;
  case 'again':
    limited();
    tell('Retrying in 0.2 seconds...');
    answer('Now it went.', COST);
    edit('hello.txt', 'hello\n');
    break;
  case 'silent':
    answer('There is nothing to do.', COST);
    break;
  case 'limited':
    for (const delay of [0.2, 0.5, 1]) {
      limited();
      tell(`Retrying in ${delay.toFixed(1)} seconds...`);
    }
    limited();
    break;
  case 'late':
    answer('I begin.', COST);
    refuse('InternalServerError', 'boom', "The API provider's servers are down or overloaded.");
    break;
  case 'auth':
    refuse('AuthenticationError', 'Incorrect API key provided: x', 'The API provider is not able to authenticate you.');
    break;
  case 'overflow':
    tell(
      `\nModel ${model} has hit a token limit!\nToken counts below are approximate.\n\nInput tokens: ~9,000 of 8,192`,
    );
    break;
  case 'hang':
    setTimeout(() => {}, 300_000);
    break;
}

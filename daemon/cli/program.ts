// The command line: every command, its arguments and its help in one list; what a command does is in its own file.
import { Argument, Command, CommanderError, Option } from 'commander';
import { EXIT, messageOf, TowpathError } from '../errors.ts';
import { machineFault } from '../faults.ts';
import { QUEUES } from '../task/terms.ts';
import type { Common } from './common.ts';

type Action = (args: never, options: never) => Promise<number | undefined> | Promise<void>;

/** Runs the command line. Resolves to the exit status; the only text of its own goes to stderr. */
export async function main(argv: readonly string[], version: string): Promise<number> {
  let status: number = EXIT.ok;
  const program = new Command('towpath')
    .description('Hauls markdown tasks through coding agents to reviewed branches.')
    .version(version, '-V, --version')
    .option(
      '-w, --workspace <dir>',
      'the workspace (default: TOWPATH_WORKSPACE, else the nearest parent with towpath.yaml)',
    )
    .option('--json', 'stable JSON on stdout; NDJSON for streams')
    .option('--debug', 'stack traces for errors')
    .helpCommand('help [command]', 'help for a command')
    .showHelpAfterError(false)
    .showSuggestionAfterError(false)
    .configureOutput({ outputError: usageError })
    .exitOverride();

  /** One command; its file is loaded only when it is called. */
  const add = (
    spec: string,
    description: string,
    load: () => Promise<Action>,
    shape: (command: Command) => Command = (c) => c,
  ) => {
    const command = program.command(spec).description(description).allowExcessArguments(false);
    shape(command)
      .exitOverride()
      .configureOutput({ outputError: usageError })
      .action(async (...given: unknown[]) => {
        const options = program.opts<Common>();
        const args = given.slice(0, -2);
        const run = (await load()) as unknown as (args: unknown[], options: unknown) => Promise<number | undefined>;
        status = (await run(args, { ...options, ...(given.at(-2) as object) })) ?? EXIT.ok;
      })
      .option('--json', 'stable JSON on stdout; NDJSON for streams')
      .option('-w, --workspace <dir>', 'the workspace')
      .option('--debug', 'stack traces for errors');
  };
  const queue = new Argument('[queue]', 'one queue').choices(QUEUES);

  add('init [dir]', 'make a workspace', async () => (await import('./init.ts')).init);
  add(
    'start',
    'run the daemon in the foreground',
    async () => (await import('./start.ts')).start,
    (c) =>
      c
        .option('--drain', 'stop when nothing can run any more; exit 1 when tasks failed or are blocked')
        .option('--single-task', 'run one task, then stop')
        .option('--role <role>', 'take only tasks of this role')
        .option('--agent-id <name>', 'the name of this worker in its locks'),
  );
  add(
    'stop',
    'stop the daemon once the running attempts have ended',
    async () => (await import('./stop.ts')).stop,
    (c) =>
      c
        .option('--now', 'end the running attempts and put their tasks back')
        .addOption(
          new Option('--keep-agents', 'leave the agents running: the next start goes on with them').conflicts('now'),
        ),
  );
  add(
    'enqueue <files...>',
    'put task files into incoming/ ("-" reads one from stdin)',
    async () => (await import('./enqueue.ts')).enqueue,
  );
  add('status', 'what is going on, and what needs you', async () => (await import('./status.ts')).status);
  add(
    'list',
    'tasks, of all queues or of one',
    async () => (await import('./list.ts')).list,
    (c) =>
      c
        .addArgument(queue)
        .addOption(new Option('--limit <n>', 'so many of each queue').argParser(atLeastOne))
        .option('--project <name>', 'those of one project'),
  );
  add('show <id>', 'one task with its attempts, checks and feedback', async () => (await import('./show.ts')).show);
  add('why <id>', 'why a task is not running', async () => (await import('./why.ts')).why);
  add(
    'logs <id>',
    'what its agent said and did',
    async () => (await import('./logs.ts')).logs,
    (c) =>
      c
        .option('-f, --follow', 'go on until the attempt ends')
        .option('--raw', "the agent's own output")
        .addOption(new Option('--attempt <n>', 'which run (default: the last)').argParser(whole)),
  );
  add('watch', 'a live board', async () => (await import('./watch.ts')).watch);
  add('accept <id>', 'accept a result that waits for review', async () => (await import('./verbs.ts')).accept);
  add(
    'reject <id>',
    'send a result back with feedback',
    async () => (await import('./verbs.ts')).reject,
    (c) => c.requiredOption('-m, --message <text>', 'what is to be done better'),
  );
  add(
    'answer <id>',
    'answer the question of an agent',
    async () => (await import('./verbs.ts')).answer,
    (c) => c.requiredOption('-m, --message <text>', 'the answer'),
  );
  add('retry <id>', 'run a failed, blocked or done task again', async () => (await import('./verbs.ts')).retry);
  add('cancel <id>', 'give a task up; its work stays on its branch', async () => (await import('./verbs.ts')).cancel);
  add(
    'resolve <id>',
    'decide about a failed hook',
    async () => (await import('./verbs.ts')).resolve,
    (c) => c.addArgument(new Argument('<decision>').choices(['retry', 'skip', 'abort'])),
  );
  add('pause [id]', 'hold a task, or all claiming', async () => (await import('./verbs.ts')).pause);
  add('resume [id]', 'let a task, an agent, or all claiming go on', async () => (await import('./verbs.ts')).resume);
  add(
    'validate <files...>',
    'check files of tasks, workflows, roles and patterns without running them',
    async () => (await import('./validate.ts')).validate,
  );
  add(
    'workflow <action> [names...]',
    'workflows: run FILE, show FILE or RUN, cancel RUN, retry RUN STEP, list',
    async () => (await import('./workflow.ts')).workflow,
    (c) => {
      c.registeredArguments[0]!.choices(['run', 'show', 'cancel', 'retry', 'list']);
      const more = (value: string, before: string[] = []) => [...before, value];
      return c
        .addOption(new Option('--var <name=value>', 'with run: a variable; as often as there are any').argParser(more))
        .addOption(new Option('--var-file <name=path>', 'with run: a variable out of a file').argParser(more));
    },
  );
  add(
    'pattern <action> [name]',
    'deterministic executors: list, show, run',
    async () => (await import('./pattern.ts')).pattern,
    (c) => {
      c.registeredArguments[0]!.choices(['list', 'show', 'run']);
      return c
        .addOption(
          new Option('-i, --input <key=value>', 'an input; may be given again').argParser(
            (one: string, all: string[] = []) => [...all, one],
          ),
        )
        .option('--inputs <file>', 'the inputs as a JSON file ("-" reads stdin)')
        .option('--project <name>', 'where it runs')
        .option('--dry-run', 'show the change as a diff, and change nothing');
    },
  );
  add(
    'schedule <action>',
    'repeating tasks: list',
    async () => (await import('./schedule.ts')).schedule,
    (c) => {
      c.registeredArguments[0]!.choices(['list']);
      return c;
    },
  );
  add('mcp', 'serve tools over stdio to any MCP client', async () => (await import('./mcp/serve.ts')).mcp);
  add('doctor', 'look for what is wrong, and say what to do', async () => (await import('./doctor.ts')).doctor);
  add(
    'stats',
    'runs, outcomes and cost by day, agent, role and model',
    async () => (await import('./stats.ts')).stats,
    (c) => c.option('--since <when>', 'a date, or a duration such as 7d'),
  );
  add(
    'events',
    'what happened',
    async () => (await import('./events.ts')).events,
    (c) =>
      c
        .option('-f, --follow', 'go on')
        .option('--task <id>', 'of one task')
        .addOption(new Option('--limit <n>', 'the last n').argParser(whole)),
  );
  add(
    'service <action>',
    'let systemd or launchd keep the daemon up: install, uninstall, status, print',
    async () => (await import('./service.ts')).service,
    (c) => {
      c.registeredArguments[0]!.choices(['install', 'uninstall', 'status', 'print']);
      return c
        .option('--system', "a service of the machine instead of the user's own; needs root")
        .option('--no-start', 'with install: write and enable it, and start it later')
        .addOption(new Option('--systemd', 'with print: the systemd unit, on any machine').conflicts('launchd'))
        .option('--launchd', 'with print: the property list of launchd, on any machine');
    },
  );
  add(
    'demo',
    'a throwaway repository and five tasks, with no agent and no key',
    async () => (await import('./demo.ts')).demo,
    (c) => c.option('--dir <dir>', 'where to make it (default: a temporary folder)'),
  );

  try {
    const [first, of = ''] = argv;
    // Of a command that is not there commander would print the help of all.
    if (first === 'help' && /^\w/.test(of) && of !== 'help' && !program.commands.some((one) => one.name() === of))
      program.error(`error: unknown command '${of}'`);
    await program.parseAsync(argv, { from: 'user' });
    return status;
  } catch (thrown) {
    if (thrown instanceof CommanderError) return thrown.exitCode === 0 ? EXIT.ok : EXIT.usage;
    if (argv.includes('--debug') && thrown instanceof Error) console.error(thrown.stack);
    const fault = machineFault(thrown);
    const line =
      thrown instanceof TowpathError ? thrown.line : fault ? `${fault}: try again when it is over` : messageOf(thrown);
    const code = thrown instanceof TowpathError ? thrown.code : 'failed';
    console.error(argv.includes('--json') ? JSON.stringify({ error: { code, message: line } }) : `towpath: ${line}`);
    return thrown instanceof TowpathError ? thrown.exit : EXIT.failed;
  }
}

/** One line for a wrong call, or JSON where JSON was asked for. */
function usageError(text: string, write: (text: string) => void): void {
  const message = `${text.replace(/^error: /, '').trim()}: see "towpath help"`;
  const json = process.argv.includes('--json');
  write(json ? `${JSON.stringify({ error: { code: 'bad_usage', message } })}\n` : `towpath: ${message}\n`);
}

function atLeastOne(text: string): number {
  const n = whole(text);
  if (n === 0) throw new TowpathError('bad_usage', '"0" is no limit', 'write 1 or more');
  return n;
}

function whole(text: string): number {
  if (!/^\d+$/.test(text)) throw new TowpathError('bad_usage', `"${text}" is no whole number`, 'write 1 or more');
  return Number(text);
}

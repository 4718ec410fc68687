// Kills a scenario's command at one call after the other, starts again, and compares what comes out with what no kill leads to.
import { isDeepStrictEqual } from 'node:util';
import { originals, type Picture, picture, problems } from './invariants.ts';
import type { Scenario } from './scenarios.ts';
import { straceArgs } from './strace.ts';
import { World } from './world.ts';

/** One case: where the command is killed, and where the daemons that come after it are. */
export interface Case {
  scenario: string;
  kills: string[];
}

export interface Tally {
  cases: number;
  /** Kills by the name of the call. */
  calls: Map<string, number>;
  failures: string[];
}

export const newTally = (): Tally => ({ cases: 0, calls: new Map(), failures: [] });

export const nameOf = ({ scenario, kills }: Case): string =>
  `${scenario}:${kills.map((one) => one.replaceAll(' ', '-')).join(',')}`;

export function parseCase(text: string): Case {
  const [scenario = '', kills = ''] = text.split(':');
  return { scenario, kills: kills.split(',').map((one) => one.replaceAll('-', ' ')) };
}

/** A scenario made ready at one place, with what it leads to. */
export class Stage {
  readonly scenario: Scenario;
  readonly world: World;
  /** The calls of one undisturbed command. */
  calls: string[] = [];
  #files = new Map<string, string>();
  #allowed: Picture[] = [];

  constructor(scenario: Scenario) {
    this.scenario = scenario;
    this.world = new World(scenario);
  }

  async ready(): Promise<this> {
    const { world, scenario } = this;
    await scenario.prepare?.(world);
    world.keep();
    this.reset();
    await this.#end(await world.run(this.#command(), { crash: 'count' }), true);
    this.calls = world.takeCalls();
    if (scenario.command) {
      // A command that was killed may have done nothing.
      this.reset();
      await this.#end(null, true);
    }
    return this;
  }

  /** Plays one case; returns what is wrong. */
  async play(one: Case, tally: Tally): Promise<string[]> {
    const { world } = this;
    this.reset();
    let command = this.#command();
    const outputs: string[] = [];
    for (const kill of one.kills) {
      const [how, what = '', n = ''] = kill.split(' ');
      const ended = await world.run(command, how === 'sys' ? { under: straceArgs(what, n) } : { crash: kill });
      outputs.push(ended.output);
      const [call] = world.takeCalls();
      const name = ended.signal !== 'SIGKILL' ? 'none' : how === 'sys' ? what : (call?.split(' ')[1] ?? 'none');
      tally.calls.set(name, (tally.calls.get(name) ?? 0) + 1);
      outputs.push(`--- killed at ${call ?? kill} (${ended.signal ?? ended.code})\n`);
      if (!this.scenario.unsettled) world.settle();
      command = ['start', '--drain'];
    }
    const wrong = await this.#end(null, false, outputs);
    tally.cases += 1;
    if (wrong.length > 0) tally.failures.push(report(one, wrong, outputs));
    return wrong;
  }

  #command(): string[] {
    const { command = ['start', '--drain'] } = this.scenario;
    return typeof command === 'function' ? command(this.world) : command;
  }

  /** Puts the world back to where the command begins. */
  reset(): void {
    this.world.restore();
    this.scenario.fresh?.(this.world);
    this.#files = originals(this.world);
  }

  /** Drains what is left, and looks at it. */
  async #end(
    before: { output: string; code: number | null } | null,
    reference: boolean,
    outputs: string[] = [],
  ): Promise<string[]> {
    const { world, scenario } = this;
    if (before?.code !== undefined && scenario.command && before.code !== 0)
      throw new Error(`${scenario.name}: the undisturbed command fails: ${before.output}`);
    if (!scenario.unsettled) world.settle();
    const drained = before && !scenario.command ? before : await world.drain();
    outputs.push(drained.output);
    const wrong = await problems(world, { originals: this.#files });
    // Without this a daemon that cannot even start would come to the same each time.
    if (!/ stopped +drained/.test(drained.output)) wrong.push('the daemon did not drain');
    const found = picture(world);
    if (reference) {
      if (wrong.length > 0) throw new Error(`${scenario.name}, undisturbed: ${wrong.join('; ')}\n${outputs.join('')}`);
      this.#allowed.push(found);
    } else if (!this.#allowed.some((picture) => isDeepStrictEqual(picture, found)))
      wrong.push(`it came out otherwise: ${difference(this.#allowed, found)}`);
    return wrong;
  }

  close(): void {
    this.world.close();
  }
}

/** The members that differ from the nearest allowed outcome. */
function difference(allowed: Picture[], found: Picture): string {
  const texts = allowed.map((one) => {
    const parts: string[] = [];
    compare('', one, found, parts);
    return parts.join('; ');
  });
  return texts.sort((a, b) => a.length - b.length)[0] ?? 'nothing was allowed';
}

function compare(path: string, wanted: unknown, found: unknown, into: string[]): void {
  if (isDeepStrictEqual(wanted, found)) return;
  const plain = (value: unknown): value is Record<string, unknown> =>
    typeof value === 'object' && value !== null && !Array.isArray(value);
  if (!plain(wanted) || !plain(found))
    into.push(`${path}: ${JSON.stringify(found)} instead of ${JSON.stringify(wanted)}`);
  else
    for (const key of new Set([...Object.keys(wanted), ...Object.keys(found)]))
      compare(`${path}.${key}`, wanted[key], found[key], into);
}

const report = (one: Case, wrong: string[], outputs: string[]): string =>
  `CRASH_CASE='${nameOf(one)}' npm run test:crash\n  ${wrong.join('\n  ')}\n${outputs
    .join('')
    .trimEnd()
    .split('\n')
    .map((line) => `    | ${line}`)
    .join('\n')}`;

/** Plays cases, on as many stages at once as `lanes` says. */
export async function playAll(
  scenario: Scenario,
  casesOf: (calls: string[]) => Case[],
  tally: Tally,
  lanes = 2,
): Promise<void> {
  const first = await new Stage(scenario).ready();
  const cases = casesOf(first.calls);
  let next = 0;
  const lane = async (stage: Stage) => {
    try {
      for (let one = cases[next++]; one; one = cases[next++]) await stage.play(one, tally);
    } finally {
      stage.close();
    }
  };
  const others =
    cases.length > lanes ? Array.from({ length: lanes - 1 }, async () => lane(await new Stage(scenario).ready())) : [];
  await Promise.all([lane(first), ...others]);
}

/** A git that only asks: a kill before it is one before the next call. */
const ASKS =
  /^\d+ spawn \S*git (rev-parse|symbolic-ref -q|show-ref|merge-base|ls-files|diff|for-each-ref|status|worktree list|log|ls-tree|config|rev-list|check-ref-format)/;

/** Every `stride`th of the kills that one command offers: before each call, after those that start something, and amid those that write whole files. */
export const killsOf =
  (scenario: string, stride = 1, offset = 0) =>
  (calls: string[]): Case[] =>
    calls
      .filter((line) => !ASKS.test(line))
      .flatMap((line) => {
        const [number, name] = line.split(' ');
        const also = name === 'spawn' ? [`after ${number}`] : name === 'writeFile' ? [`half ${number}`] : [];
        return [`before ${number}`, ...also];
      })
      .filter((_, at) => at % stride === offset % stride)
      .map((kill) => ({ scenario, kills: [kill] }));

export const summary = (tally: Tally): string =>
  `${tally.cases} cases; killed at ${[...tally.calls]
    .sort((a, b) => b[1] - a[1])
    .map(([name, n]) => `${name} ${n}`)
    .join(', ')}; ${tally.failures.length} failed`;

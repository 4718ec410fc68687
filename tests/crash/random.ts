// Kills at random instants, several in a row, while commands of a person come in and are killed too. All is chosen by a seed.
import { setTimeout as sleep } from 'node:timers/promises';
import { random } from '../../bench/soak/random.ts';
import { originals, picture, problems } from './invariants.ts';
import { work } from './scenarios.ts';
import { World } from './world.ts';

const TASKS: Record<string, string> = {
  major: work('sleep 0.2; echo 1 > major.txt'),
  minor: work('sleep 0.1; echo 1 > minor.txt', 'complexity: minor\n'),
  'minor-2': work('echo 2 > minor-2.txt', 'complexity: minor\n'),
  retried: work('echo "$TOWPATH_ATTEMPT" > retried.txt', 'checks: ["[ $TOWPATH_ATTEMPT != 1 ]"]\n'),
  after: work('echo > after.txt', 'depends_on: [major]\n'),
  seen: work('sleep 0.1; echo > seen.txt', 'review: human\n'),
  'seen-minor': work('echo > seen-minor.txt', 'review: human\ncomplexity: minor\n'),
  sent: work('echo "$TOWPATH_ATTEMPT" > sent.txt', 'review: human\n'),
  stopped: work('sleep 0.3; echo > stopped.txt'),
};

/** Plays one seed; returns what is wrong. */
export async function playSeed(seed: number, rounds: number): Promise<string[]> {
  const next = random(seed);
  const world = new World({
    settings: 'agent: shell\nretry: {initial: 100ms}\nconcurrency: 3\nchecks: ["sleep 0.05"]\n',
    tasks: TASKS,
  });
  try {
    const files = originals(world);
    const outputs: string[] = [];
    let cancelled = false;
    for (let round = 0; round < rounds; round++) {
      const daemon = world.start(['start']);
      const person = world.tasks().has('seen') && round > 0 ? world.start(pick(next)) : null;
      if (person?.spawnargs.includes('cancel')) cancelled = true;
      await sleep(100 + next() * 1200);
      if (person && next() < 0.5) person.kill('SIGKILL');
      daemon.kill('SIGKILL');
      outputs.push((await daemon.ended).output);
      if (person) outputs.push((await person.ended).output);
    }
    world.settle();
    for (const id of ['seen', 'seen-minor', 'sent']) {
      outputs.push((await world.drain()).output);
      outputs.push((await world.run(['accept', id])).output);
    }
    outputs.push((await world.drain()).output);
    const wrong = await problems(world, { originals: files });
    const { tasks, main, status } = picture(world);
    for (const [id, found] of Object.entries(tasks)) {
      const { in: queue, attempts, commits, outcome } = found as Record<string, unknown>;
      if (id === 'stopped' && cancelled && queue === 'failed' && outcome === 'cancelled') continue;
      if (queue !== 'done') wrong.push(`${id} is in ${queue} and not in done`);
      const spent = id === 'retried' ? 2 : 1;
      // A person may have rejected it, even several times.
      if (id !== 'sent' && attempts !== spent) wrong.push(`${id} spent ${attempts} attempts instead of ${spent}`);
      if (id !== 'sent' && id !== 'after' && id !== 'retried' && commits !== null && commits !== 'A task')
        wrong.push(`${id} has other commits than its own: ${commits}`);
    }
    const landed = main.filter((line) => line.startsWith('A task')).length;
    if (landed !== 3) wrong.push(`${landed} commits landed instead of 3`);
    if (status !== '?? user.txt\n') wrong.push(`the checkout is not as it was: ${status}`);
    return wrong.length === 0
      ? []
      : [
          ...wrong,
          ...outputs
            .join('')
            .split('\n')
            .map((line) => `  | ${line}`),
        ];
  } finally {
    world.close();
  }
}

/** What a person does meanwhile. */
function pick(next: () => number): string[] {
  const commands = [
    ['accept', 'seen'],
    ['accept', 'seen-minor'],
    ['reject', 'sent', '-m', 'once more'],
    ['cancel', 'stopped'],
    ['list'],
  ];
  return commands[Math.floor(next() * commands.length)]!;
}

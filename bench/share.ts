// Towpath's own CPU time while one agent works: a scripted agent of 20 s that prints an event every 200 ms.
import { setTimeout as sleep } from 'node:timers/promises';
import { cpuMs, until, wallMs } from './measure.ts';
import type { Row } from './table.ts';
import { Towpath } from './workspace.ts';

const EVENTS = 100;
const AGENT = `#!/bin/sh
n=0
while [ $n -lt ${EVENTS} ]; do
  n=$((n + 1))
  echo '{"type":"tool_call","id":"'$n'","name":"Bash","content":"npm test -- --run one/of/many.test.ts"}'
  echo '{"type":"tool_result","id":"'$n'","content":"ok"}'
  sleep 0.2
done
echo '{"type":"result","success":true,"output":"done"}'
`;

export async function share(): Promise<Row[]> {
  const towpath = new Towpath('agent: slow\nagents: {slow: {command: [./agent.sh]}}\n');
  try {
    towpath.file('agent.sh', AGENT, 0o755);
    await towpath.start();
    await sleep(1500);
    const drop = towpath.stage('work', '---\ncomplexity: minor\nexpect: any\n---\n# Work\n');
    await sleep(20);
    const [before, began] = [cpuMs(towpath.pid), wallMs()];
    drop();
    await until(() => towpath.count('done') === 1, 'the run is done', 60_000, 50);
    const [cpu, wall] = [cpuMs(towpath.pid) - before, wallMs() - began];
    const percent = (cpu / wall) * 100;
    return [
      {
        what: `own CPU time in a run of ${(wall / 1000).toFixed(0)} s (${EVENTS * 2} events)`,
        figure: `${percent.toFixed(2)} %`,
        target: '< 2 %',
        met: percent < 2,
      },
    ];
  } finally {
    await towpath.stop();
  }
}

// Runs once before the suite: the Node that runs it is new enough, and no agent of this machine is found by chance.
import { delimiter } from 'node:path';

export default function setup(): void {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  if (major < 22 || (major === 22 && minor < 22))
    throw new Error(
      `Node ${process.versions.node} is too old for the tests: run "npm ci" (it brings Node 24), then "npm test"`,
    );
  // npm puts the programs of the dev dependencies on the PATH, the real agents among them: with somebody's login they would work.
  const dirs = (process.env['PATH'] ?? '').split(delimiter);
  process.env['PATH'] = dirs.filter((dir) => !dir.endsWith('node_modules/.bin')).join(delimiter);
}

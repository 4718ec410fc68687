// Runs once before the suite: says in one clear line when the Node that runs it is too old.
export default function setup(): void {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  if (major < 22 || (major === 22 && minor < 22))
    throw new Error(
      `Node ${process.versions.node} is too old for the tests: run "npm ci" (it brings Node 24), then "npm test"`,
    );
}

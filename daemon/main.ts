// The bin: argv to the command line, and the only process.exit.
import { readFileSync } from 'node:fs';
import { main } from './cli/program.ts';

// A reader that went away (`towpath list | head`) is no error.
process.stdout.on('error', (thrown: NodeJS.ErrnoException) => {
  if (thrown.code === 'EPIPE') process.exit(0);
  throw thrown;
});
const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as {
  version: string;
};
process.exitCode = await main(process.argv.slice(2), version);
if (process.stdout.writableLength === 0) process.exit();
process.stdout.once('drain', () => process.exit());

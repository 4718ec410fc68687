// The bin: argv to the command line, and the only process.exit.
import { readFileSync } from 'node:fs';
import { main } from './cli/program.ts';

// A reader that went away (`towpath list | head`) is no error.
process.stdout.on('error', (thrown: NodeJS.ErrnoException) => {
  if (thrown.code === 'EPIPE') process.exit(0);
  console.error(`towpath: the output could not be written: ${thrown.message}`);
  process.exit(1);
});
const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as {
  version: string;
};
process.exitCode = await main(process.argv.slice(2), version);
// An error of the last write is told in a later turn of the loop.
await new Promise(setImmediate);
if (process.stdout.writableLength === 0) process.exit();
process.stdout.once('drain', () => process.exit());

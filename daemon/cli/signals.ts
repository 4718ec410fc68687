// The signals of `towpath start`: Ctrl-C once waits, twice ends; SIGTERM ends; SIGHUP reloads, or ends when the terminal is gone.
import { isatty } from 'node:tty';
import type { Orders } from '../daemon.ts';

/** Takes the signals from now on, before anything of the daemon is begun. `say` is for whoever sits at the terminal. */
export function signalOrders(say: (line: string) => void): Orders {
  const stop = new AbortController();
  const now = new AbortController();
  const end = () => {
    stop.abort();
    now.abort();
  };
  process.on('SIGINT', () => {
    if (stop.signal.aborted) return end();
    stop.abort();
    say('stopping once the running attempts have ended; again to put them back at once');
  });
  process.on('SIGTERM', end);
  const terminals = [0, 1, 2].filter((fd) => isatty(fd));
  let reload: (() => void) | null = null;
  let asked = false;
  process.on('SIGHUP', () => {
    // A terminal that was closed answers no more: its programs are to end. One that is still there means a person's `kill -HUP`.
    if (terminals.length > 0 && !terminals.some((fd) => isatty(fd))) return end();
    asked = true;
    reload?.();
  });
  // Else Node would open its debugger.
  process.on('SIGUSR1', () => {});
  return {
    signal: stop.signal,
    now: now.signal,
    onReload: (act) => {
      reload = act;
      if (asked) act();
    },
  };
}

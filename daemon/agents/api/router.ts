// Goes from one model server to the next: a call that fails is tried once more, then the next server is asked.
import { setTimeout as sleep } from 'node:timers/promises';
import { Fault } from './fault.ts';
import type { Server } from './job.ts';
import { tell } from './tell.ts';

/** Before the second try at the same server, ms. */
const PAUSE_MS = 1000;

export class Router {
  readonly #servers: readonly Server[];
  /** The one that answered last: the prompt is in its cache. */
  #at = 0;

  constructor(servers: readonly Server[]) {
    this.#servers = servers;
  }

  /** Throws the `Fault` that stands for all when no server answers. */
  async ask<T>(call: (server: Server) => Promise<T>): Promise<T> {
    const faults: Fault[] = [];
    for (let n = 0; n < this.#servers.length; n++) {
      const at = (this.#at + n) % this.#servers.length;
      const server = this.#servers[at]!;
      const next = this.#servers[(at + 1) % this.#servers.length]!;
      try {
        const answer = await twice(() => call(server));
        this.#at = at;
        return answer;
      } catch (thrown) {
        if (!(thrown instanceof Fault) || !(isOthers(thrown) || (isPayers(thrown) && server !== this.#servers[0])))
          throw thrown;
        faults.push(thrown);
        if (n + 1 < this.#servers.length) tell({ type: 'log', content: `${thrown.message}: ${next.name} is asked` });
      }
    }
    throw worst(faults);
  }
}

/** A fault of the server, not of what was asked: another one may answer. */
const isOthers = ({ outcome }: Fault): boolean => outcome === 'transient' || outcome === 'rate_limited';

/** A fault of the account. The daemon closes the first server for it, so that of a stand-in is not told as its. */
const isPayers = ({ outcome }: Fault): boolean => outcome === 'auth' || outcome === 'billing';

async function twice<T>(call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (thrown) {
    if (!(thrown instanceof Fault) || thrown.outcome !== 'transient') throw thrown;
    tell({ type: 'log', content: `${thrown.message}: asked once more` });
    await sleep(PAUSE_MS);
    return call();
  }
}

/** One that may be over soon, else the limit that resets first. */
function worst(faults: Fault[]): Fault {
  const transient = faults.findLast(({ outcome }) => outcome === 'transient');
  const byReset = faults.filter(isOthers).toSorted((a, b) => (a.resets_at ?? '9').localeCompare(b.resets_at ?? '9'));
  return transient ?? byReset[0]!;
}

// Which model servers answer: probed now and then, and remembered when a run failed on one.
import { errno, messageOf } from '../errors.ts';
import type { Endpoint } from '../settings.ts';

/** Nobody waits longer for a server that does not answer, ms. */
const PATIENCE_MS = 5000;
/** So long after a failure the others are preferred, ms. */
const SHUN_MS = 60_000;

export interface Health {
  /** null: not asked yet. */
  reachable: boolean | null;
  /** What it said, or why it could not be asked. */
  told: string;
  checked_at: string | null;
  /** When a run last failed on it, ms. */
  failed_ms: number | null;
}

const UNKNOWN: Health = { reachable: null, told: 'not asked yet', checked_at: null, failed_ms: null };

/** Asks a server for its models. Any answer shows that it is there; it spends nothing. */
export async function probeEndpoint({ base_url, key_env }: Endpoint, env: NodeJS.ProcessEnv): Promise<Health> {
  const checked_at = new Date().toISOString();
  if (!base_url) return { ...UNKNOWN, reachable: true, told: 'a GPU of this machine', checked_at };
  const key = key_env ? env[key_env] : undefined;
  const headers: Record<string, string> = key ? { authorization: `Bearer ${key}`, 'x-api-key': key } : {};
  try {
    const response = await fetch(`${base_url.replace(/\/+$/, '')}/models`, {
      headers,
      redirect: 'manual',
      signal: AbortSignal.timeout(PATIENCE_MS),
    });
    await response.body?.cancel();
    return { ...UNKNOWN, reachable: true, told: `answers ${response.status}`, checked_at };
  } catch (thrown) {
    const cause = (thrown as { cause?: unknown }).cause ?? thrown;
    return { ...UNKNOWN, reachable: false, told: errno(cause) ?? messageOf(cause), checked_at };
  }
}

export class Endpoints {
  readonly #health = new Map<string, Health>();

  of(name: string): Health {
    return this.#health.get(name) ?? UNKNOWN;
  }

  /** Probes all; true when something changed. */
  async refresh(endpoints: readonly Endpoint[], env: NodeJS.ProcessEnv): Promise<boolean> {
    const found = await Promise.all(endpoints.map(async (one) => [one.name, await probeEndpoint(one, env)] as const));
    let changed = false;
    for (const [name, health] of found) {
      const before = this.of(name);
      changed ||= before.reachable !== health.reachable;
      // One that is back after it could not be reached has a new chance.
      const failed_ms = before.reachable === false && health.reachable ? null : before.failed_ms;
      this.#health.set(name, { ...health, failed_ms });
    }
    return changed;
  }

  /** A run that was sent there came to nothing, or to something. */
  tell(name: string, failed: boolean): void {
    this.#health.set(name, { ...this.of(name), failed_ms: failed ? Date.now() : null });
  }

  /** A run failed there, and it cannot be reached since. */
  isDown(name: string): boolean {
    const { reachable, failed_ms } = this.of(name);
    return reachable === false && failed_ms !== null;
  }

  /** Others are tried before it. */
  isShunned(name: string, now = Date.now()): boolean {
    const { reachable, failed_ms } = this.of(name);
    return reachable === false || (failed_ms !== null && now - failed_ms < SHUN_MS);
  }
}

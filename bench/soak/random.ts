// Numbers that a seed determines, and choices by them.

/** Gives a number in [0, 1). */
export type Random = () => number;

/** mulberry32 */
export function random(seed: number): Random {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

export const pick = <T>(next: Random, from: readonly T[]): T => from[Math.floor(next() * from.length)]!;

export function shuffled<T>(next: Random, from: readonly T[]): T[] {
  const left = [...from];
  return Array.from(from, () => left.splice(Math.floor(next() * left.length), 1)[0]!);
}

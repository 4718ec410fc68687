// Which of several that ride together breaks the train: halves, until one is left. Pure but for the probe.

/**
 * Of `count` in a row, all of which together fail: the first with which those up to it fail, from 1. `fails(n)` tries the first n;
 * the one before it has then been tried and found good, unless it is the first of all. Null when a probe gave no answer.
 */
export async function firstBad(count: number, fails: (n: number) => Promise<boolean | null>): Promise<number | null> {
  let good = 0;
  let bad = count;
  while (bad - good > 1) {
    const middle = Math.floor((good + bad) / 2);
    const failed = await fails(middle);
    if (failed === null) return null;
    if (failed) bad = middle;
    else good = middle;
  }
  return bad;
}

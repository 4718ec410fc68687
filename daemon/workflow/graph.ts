// The graph of steps: who waits for whom, in which order, on which level, and the circles that must not be. Pure.

/** Steps by number; `needs` are the numbers of those that it waits for. */
export interface Node {
  needs: readonly number[];
}

/** A circle, from a step back to itself; null when there is none. */
export function circleIn(nodes: readonly Node[]): number[] | null {
  const state = new Map<number, 'open' | 'done'>();
  for (const start of nodes.keys()) {
    if (state.has(start)) continue;
    // A stack of its own: a chain may be longer than the call stack.
    const path: { at: number; next: number }[] = [{ at: start, next: 0 }];
    state.set(start, 'open');
    for (let top = path.at(-1); top; top = path.at(-1)) {
      const to = nodes[top.at]!.needs[top.next++];
      if (to === undefined) {
        state.set(top.at, 'done');
        path.pop();
      } else if (state.get(to) === 'open') {
        const circle = path.map(({ at }) => at);
        return [...circle.slice(circle.indexOf(to)), to];
      } else if (!state.has(to)) {
        state.set(to, 'open');
        path.push({ at: to, next: 0 });
      }
    }
  }
  return null;
}

/** The level of each step: 0 waits for nobody, each other stands one below the last that it waits for. There is no circle. */
export function levelsOf(nodes: readonly Node[]): number[] {
  const levels: (number | undefined)[] = nodes.map(() => undefined);
  for (const start of nodes.keys()) {
    const stack = [start];
    for (let at = stack.at(-1); at !== undefined; at = stack.at(-1)) {
      const open = nodes[at]!.needs.filter((need) => levels[need] === undefined);
      if (open.length > 0) stack.push(...open);
      else {
        levels[at] = Math.max(-1, ...nodes[at]!.needs.map((need) => levels[need]!)) + 1;
        stack.pop();
      }
    }
  }
  return levels as number[];
}

/** The steps so that each comes after those that it waits for; side by side as they are written. */
export function orderOf(nodes: readonly Node[]): number[] {
  const levels = levelsOf(nodes);
  return [...nodes.keys()].sort((a, b) => levels[a]! - levels[b]! || a - b);
}

/** All that wait for a step, also through others, in order. */
export function afterStep(nodes: readonly Node[], step: number): number[] {
  const after = new Set([step]);
  for (const at of orderOf(nodes)) if (nodes[at]!.needs.some((need) => after.has(need))) after.add(at);
  after.delete(step);
  return orderOf(nodes).filter((at) => after.has(at));
}

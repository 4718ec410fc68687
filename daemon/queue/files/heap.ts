// A binary heap whose members may have gone meanwhile: they are passed over, and swept out when they are many.

export class Heap<T extends { gone: boolean }> {
  readonly #before: (a: T, b: T) => number;
  #items: T[] = [];
  #gone = 0;

  constructor(before: (a: T, b: T) => number) {
    this.#before = before;
  }

  push(item: T): void {
    this.#items.push(item);
    this.#rise(this.#items.length - 1);
  }

  /** The first that is still there. */
  top(): T | undefined {
    while (this.#items[0]?.gone) this.#takeTop();
    return this.#items[0];
  }

  pop(): T | undefined {
    return this.top() && this.#takeTop();
  }

  /** To be called when a member has been marked as gone. */
  lost(): void {
    this.#gone++;
    if (this.#gone < 64 || this.#gone < this.#items.length / 2) return;
    this.#items = this.#items.filter(({ gone }) => !gone);
    this.#gone = 0;
    for (let at = (this.#items.length >> 1) - 1; at >= 0; at--) this.#sink(at);
  }

  /** The members in no order. */
  *members(): Generator<T> {
    for (const item of this.#items) if (!item.gone) yield item;
  }

  /** The members in order, as far as they are asked for: for the first few of many. */
  *inOrder(): Generator<T> {
    const items = this.#items;
    const edge: number[] = [];
    const add = (at: number) => {
      if (at < items.length) edge.push(at);
    };
    add(0);
    while (edge.length > 0) {
      let best = 0;
      for (let i = 1; i < edge.length; i++) if (this.#before(items[edge[i]!]!, items[edge[best]!]!) < 0) best = i;
      const at = edge[best]!;
      edge[best] = edge[edge.length - 1]!;
      edge.pop();
      if (!items[at]!.gone) yield items[at]!;
      add(2 * at + 1);
      add(2 * at + 2);
    }
  }

  #takeTop(): T {
    const top = this.#items[0]!;
    const last = this.#items.pop()!;
    if (this.#items.length > 0) {
      this.#items[0] = last;
      this.#sink(0);
    }
    if (top.gone) this.#gone--;
    return top;
  }

  #rise(at: number): void {
    const items = this.#items;
    for (let up = (at - 1) >> 1; at > 0 && this.#before(items[at]!, items[up]!) < 0; at = up, up = (at - 1) >> 1)
      [items[at], items[up]] = [items[up]!, items[at]!];
  }

  #sink(at: number): void {
    const items = this.#items;
    for (;;) {
      const left = 2 * at + 1;
      let best = at;
      for (const child of [left, left + 1])
        if (child < items.length && this.#before(items[child]!, items[best]!) < 0) best = child;
      if (best === at) return;
      [items[at], items[best]] = [items[best]!, items[at]!];
      at = best;
    }
  }
}

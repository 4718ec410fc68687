// Text of others inside markdown: fenced, so that nothing in it passes for a heading or a sentence of ours.

/** A line that opens and closes a block of this text, longer than any that stands in it. */
export function fenceFor(text: string): string {
  let longest = 2;
  for (const [ticks] of text.matchAll(/`+/g)) longest = Math.max(longest, ticks.length);
  return '`'.repeat(longest + 1);
}

export function fenced(text: string): string {
  const fence = fenceFor(text);
  return `${fence}\n${text}\n${fence}`;
}

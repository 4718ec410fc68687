// Which flags a program has, by its own help text: a version that is older or newer than ours may lack some.

/** Those of `wanted` that a help text does not name. A subcommand counts as a flag without dashes. */
export function missingFlags(help: string, wanted: readonly string[]): string[] {
  const words = new Set(help.match(/[\w-]+/g));
  return wanted.filter((flag) => !words.has(flag));
}

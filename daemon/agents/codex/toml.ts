// Values for `codex --config key=value`, which are TOML.

type Value = string | number | boolean | readonly string[] | { readonly [key: string]: Value };

/** Texts are quoted as in JSON, which TOML reads too. */
export function toml(value: Value): string {
  if (Array.isArray(value)) return `[${value.map((one: string) => toml(one)).join(',')}]`;
  if (typeof value !== 'object') return JSON.stringify(value).replaceAll('\x7f', '\\u007f');
  return `{${Object.entries(value)
    .map(([key, one]) => `${JSON.stringify(key)}=${toml(one as Value)}`)
    .join(',')}}`;
}

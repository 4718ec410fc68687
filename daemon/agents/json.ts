// Picks values out of JSON that is not ours, and cuts texts to what is kept of them.
import type { AgentEvent } from './port.ts';

export type Json = Record<string, unknown>;

/** Bounds of what is kept or passed on, characters: an event for people, one summary, the final text. */
export const EVENT = 16_384;
export const SUMMARY = 300;
export const OUTPUT = 1_048_576;

export const isJson = (value: unknown): value is Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
export const str = (value: unknown): string | null => (typeof value === 'string' && value !== '' ? value : null);
export const num = (value: unknown): number => (typeof value === 'number' && Number.isFinite(value) ? value : 0);
export const list = (value: unknown): Json[] => (Array.isArray(value) ? value.filter(isJson) : []);
export const clip = (text: string, max: number): string => (text.length > max ? `${text.slice(0, max - 2)} …` : text);
export const oneLine = (text: string, max = 500): string => clip(text.replace(/\s+/g, ' ').trim(), max);
export const log = (content: string): AgentEvent => ({ type: 'log', content: clip(content, EVENT) });

/** What a tool is asked to do, in a line: the command, the file, the pattern; else the input itself. */
export function summary(input: unknown): string {
  if (!isJson(input)) return '';
  for (const key of SAYS_MOST) if (str(input[key])) return oneLine(String(input[key]), SUMMARY);
  return oneLine(JSON.stringify(input), SUMMARY);
}
const SAYS_MOST = [
  ...['command', 'file_path', 'filePath', 'notebook_path', 'absolute_path', 'pattern', 'url', 'query'],
  ...['description', 'skill', 'path'],
];

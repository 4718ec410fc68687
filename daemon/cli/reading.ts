// What the commands that look and change nothing have in common: the workspace with its ledger, the screen, JSON, and Ctrl-C.
import { openLedger } from '../ledger/ledger.ts';
import type { Common } from './common.ts';
import { open } from './open.ts';
import { type Screen, screenOf } from './view/style.ts';

export const screen = (options: Common) => (): Screen => screenOf(process.stdout, { json: options.json ?? false });

export const reading = (options: Common) => {
  const opened = open(options.workspace);
  return { ...opened, ledger: openLedger(opened.workspace, { readonly: true }) };
};

export const print = (value: unknown): void => console.log(JSON.stringify(value));

/** Ends a stream when the person has seen enough. */
export function untilInterrupted(): AbortSignal {
  const stop = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.abort());
  return stop.signal;
}

// What a tool is to the loop: a name, what it takes, and what it answers; a refusal is an answer too.
import { z } from 'zod';
import { messageOf } from '../../../errors.ts';

export interface Done {
  text: string;
  failed: boolean;
}

export interface Tool {
  name: string;
  description: string;
  /** JSON schema of its input. */
  schema: object;
  /** Never rejects: whatever goes wrong is told to the model. */
  run(input: unknown): Promise<Done>;
}

/** Thrown by a tool: the model is told, and may try otherwise. */
export class Refusal extends Error {
  override name = 'Refusal';
}

export function tool<T>(
  name: string,
  description: string,
  input: z.ZodType<T>,
  work: (input: T) => string | Promise<string>,
): Tool {
  return {
    name,
    description,
    schema: z.toJSONSchema(input, { io: 'input' }),
    run: async (given) => {
      const parsed = input.safeParse(given);
      if (!parsed.success) return { text: `wrong input: ${z.prettifyError(parsed.error)}`, failed: true };
      try {
        return { text: await work(parsed.data), failed: false };
      } catch (thrown) {
        return { text: messageOf(thrown), failed: true };
      }
    },
  };
}

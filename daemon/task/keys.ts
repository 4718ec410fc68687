// The keys that a task and the settings have in common: who reviews, and who mends.
import { z } from 'zod';
import { FIXES } from './terms.ts';

const reviewer = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]*$/, 'none, human, agent or the name of a role');
/** A name of a role is looked up when the task comes in. */
export const reviewSchema = z.union([
  reviewer,
  z
    .array(reviewer)
    .min(1)
    .refine((names) => !names.includes('none'), 'none stands alone'),
]);
export const fixSchema = z.enum(FIXES);

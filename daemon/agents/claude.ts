// STUB by the lead until the real one lands: overwrite me.
import { commandAgent } from './command.ts';
export const claude = { ...commandAgent('claude'), validateConfig: () => [] };

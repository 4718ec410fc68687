// The tool that opens a skill of the run, and the files that lie beside it.
import { z } from 'zod';
import type { HandedSkill } from '../../port.ts';
import { Worktree } from './confine.ts';
import { readText } from './text.ts';
import { Refusal, type Tool, tool } from './tool.ts';

export function skillTool(skills: readonly HandedSkill[]): Tool {
  const names = skills.map(({ name }) => name).join(', ');
  return tool(
    'open_skill',
    `Opens a skill of this task: its instructions, or a file that they name. There are: ${names}.`,
    z.object({
      name: z.string(),
      file: z.string().min(1).default('SKILL.md').describe('relative to the folder of the skill'),
    }),
    ({ name, file }) => {
      const skill = skills.find((one) => one.name === name);
      if (!skill) throw new Refusal(`there is no skill ${name}, but ${names}`);
      return readText(new Worktree(skill.dir).readable(file), file);
    },
  );
}

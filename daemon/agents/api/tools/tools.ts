// Which tools a run has, by its permissions.
import type { Job } from '../job.ts';
import { commandTool } from './command.ts';
import { Worktree } from './confine.ts';
import { editTool, readTool, writeTool } from './files.ts';
import { listTool, searchTool } from './search.ts';
import { skillTool } from './skill.ts';
import type { Tool } from './tool.ts';

export function toolsFor({ worktree, permissions, skills }: Job, env: Record<string, string>): Tool[] {
  const tree = new Worktree(worktree);
  const tools = [readTool(tree), listTool(tree), searchTool(tree)];
  if (skills.length > 0) tools.push(skillTool(skills));
  if (permissions === 'read') return tools;
  tools.push(writeTool(tree), editTool(tree));
  if (permissions === 'edits') return tools;
  return [...tools, commandTool(tree, env)];
}

/** What a tool that a run may not use is answered: other runs have it, so a model may well name it. */
export const REFUSED: Readonly<Record<string, string>> = {
  write_file: 'this run may only read: tell in your answer what is to be changed',
  edit_file: 'this run may only read: tell in your answer what is to be changed',
  run_command: 'this run may not run commands',
};

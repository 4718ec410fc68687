// Makes a module: source, test and export entry, named and placed as the others of the repository are.
import { files, inside, languageOf, main, say, text, write } from '../kit.ts';
import { python } from './python.ts';
import { script } from './script.ts';
import type { Inputs } from './words.ts';

await main<Inputs>(({ inputs }) => {
  const all = files();
  const language = inputs.language === 'auto' ? languageOf(all) : inputs.language;
  if (!language) throw new Error('language: no TypeScript, JavaScript or Python was found: name one');
  const dir = inputs.dir === undefined ? undefined : inside(inputs.dir);
  const given = { ...inputs, ...(dir === undefined ? {} : { dir }) };
  const plan = language === 'python' ? python(given, all) : script(given, all, language);
  const written: string[] = [];
  for (const [path, content] of Object.entries(plan.made)) {
    if (text(path) !== null) say(`${path}: is there already, and stays as it is`);
    else if (write(path, content)) written.push(path);
  }
  for (const [path, content] of Object.entries(plan.edited)) if (write(path, content)) written.push(path);
  for (const path of written) say(`${path}: written`);
  const { source, test, index } = plan;
  const output = written.length
    ? `${language} module ${source}: wrote ${written.join(', ')}`
    : `${source}: nothing to do`;
  return { output, outputs: { language, source, test, index, written } };
});

// Answers by a schema: what is read as JSON, what fits, and what is said of what does not.
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { judgeAnswer, readSchema } from '../../daemon/task/answer.ts';
import { tempDir } from '../helpers/workspace.ts';

const schema = {
  type: 'object',
  properties: { verdict: { enum: ['accept', 'reject'] }, notes: { type: 'array', items: { type: 'string' } } },
  required: ['verdict'],
  additionalProperties: false,
};

describe('an answer', () => {
  it('is the whole text, or its last block that is JSON, or what the agent told as a value', () => {
    const value = { verdict: 'accept' };
    expect(judgeAnswer(' {"verdict":"accept"}\n', schema)).toEqual({ value });
    expect(
      judgeAnswer('Well:\n```json\n{"verdict":"reject"}\n```\nno:\n```\n{"verdict": "accept"}\n```\n', schema),
    ).toEqual({ value });
    expect(judgeAnswer('as above\n```sh\nls\n```', schema, value)).toEqual({ value });
  });

  it('is found behind blocks of other languages, and behind one that was never ended', () => {
    const value = { verdict: 'accept' };
    const json = '```json\r\n{"verdict":"accept"}\r\n```';
    for (const before of ['```ts\ncode\n```\n', '```\nnever ended\n', '````md\n```sh\nls\n```\n````\n'])
      expect(judgeAnswer(`${before}And so:\n${json}\n`, schema), before).toEqual({ value });
  });

  it('of blocks that never end is read in no time', () => {
    const begun = performance.now();
    expect(judgeAnswer('```json\n'.repeat(500_000), schema)).toHaveProperty('problem');
    expect(performance.now() - begun).toBeLessThan(5000);
  });

  it('that takes a schema for ever to judge is given up', () => {
    const slow = { type: 'string', pattern: '^(a+)+$' };
    expect(judgeAnswer(JSON.stringify('aaa'), slow)).toEqual({ value: 'aaa' });
    expect(judgeAnswer(JSON.stringify('ab'), slow)).toEqual({ problem: expect.stringContaining('must match pattern') });
    const never = JSON.stringify(`${'a'.repeat(60)}b`);
    expect(judgeAnswer(never, slow)).toEqual({ problem: expect.stringContaining('within 3 s') });
  });

  it('that does not fit is told with its places', () => {
    expect(judgeAnswer('I accept.', schema)).toEqual({ problem: expect.stringContaining('holds no JSON') });
    expect(judgeAnswer('{"verdict":"maybe","x":1,"notes":[1]}', schema)).toEqual({
      problem: expect.stringMatching(
        /additional properties: x.*\/verdict must be equal.*\["accept","reject"\].*\/notes\/0 must be string/,
      ),
    });
  });

  it('comes back as it is, whatever it holds', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        const judged = judgeAnswer(`Here:\n\`\`\`json\n${JSON.stringify(value, null, 1)}\n\`\`\``, {});
        expect('value' in judged && JSON.stringify(judged.value)).toBe(JSON.stringify(value));
      }),
    );
  });
});

describe('a schema', () => {
  it('is a map, or a file of the workspace and of no other place', () => {
    const root = tempDir();
    mkdirSync(join(root, 'schemas'));
    writeFileSync(join(root, 'schemas/a.json'), JSON.stringify(schema));
    expect(readSchema('schemas/a.json', root)).toEqual(schema);
    expect(() => readSchema('../a.json', root)).toThrow('lies outside');
    expect(() => readSchema('/etc/passwd', root)).toThrow('lies outside');
    expect(() => readSchema('none.json', root)).toThrow('does not exist');
    writeFileSync(join(root, 'bad.json'), '[1]');
    expect(() => readSchema('bad.json', root)).toThrow('holds no schema');
    expect(() => readSchema({ type: 'nothing' }, root)).toThrow('output_schema: schema is invalid');
    symlinkSync('/etc/hostname', join(root, 'link.json'));
    expect(() => readSchema('link.json', root)).toThrow('lies outside');
  });
});

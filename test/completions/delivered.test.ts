import { describe, expect, it } from '@jest/globals';
import { Delivered, tokensOfChoices } from '../../src/completions/delivered.ts';
import { contentEvent, event, finishEvent } from '../support/fake-provider.ts';

/** Counts characters, and keeps what it was given. */
function counter(): { count: (text: string) => number; texts: string[] } {
  const texts: string[] = [];
  return { texts, count: (text) => (texts.push(text), text.length) };
}

const delta = (members: object): Buffer => Buffer.from(event({ choices: [{ index: 0, delta: members }] }));

describe('Delivered', () => {
  it('counts nothing until it is asked, and no text twice', async () => {
    const { count, texts } = counter();
    const delivered = new Delivered(count);
    delivered.add(Buffer.from(contentEvent('one')));
    delivered.add(Buffer.from(contentEvent('two')));
    expect(texts).toEqual([]);
    expect(await delivered.tokens()).toBe(6);
    expect(await delivered.tokens()).toBe(6);
    delivered.add(Buffer.from(contentEvent('three')));
    expect(await delivered.tokens()).toBe(11);
    expect(texts).toEqual(['onetwo', 'three']);
  });

  const WRITTEN: [what: string, delta: object, tokens: number][] = [
    ['content', { role: 'assistant', content: 'abc' }, 3],
    ['reasoning', { reasoning_content: 'abc', reasoning: 'de' }, 5],
    ['a refusal', { refusal: 'no' }, 2],
    [
      'a tool call',
      { tool_calls: [{ index: 0, id: 'x', function: { name: 'f', arguments: '{}' } }, { function: { arguments: '12' } }] },
      5,
    ],
    ['a custom tool call', { tool_calls: [{ custom: { name: 'f', input: 'abc' } }] }, 4],
    ['an old function call', { function_call: { name: 'f', arguments: '{}' } }, 3],
    ['nothing', {}, 0],
    ['nulls', { content: null, tool_calls: null, function_call: null }, 0],
    ['values of wrong types', { content: 5, tool_calls: [null, 7, { function: 'x' }] }, 0],
  ];

  it.each(WRITTEN)('counts %s', async (_what, members, tokens) => {
    const delivered = new Delivered(counter().count);
    delivered.add(delta(members));
    expect(await delivered.tokens()).toBe(tokens);
    const choices = [{ index: 0, message: members }];
    expect(await tokensOfChoices(choices, (text) => text.length)).toBe(tokens);
  });

  it('counts all choices, and passes over what is no chunk', async () => {
    const delivered = new Delivered(counter().count);
    const two = event({ choices: [{ delta: { content: 'ab' } }, { delta: { content: 'cd' } }] });
    delivered.add(Buffer.from(`: ping\n\ndata: nonsense\n\ndata: {"choices":5}\n\ndata: null\n\n${two}`));
    expect(await delivered.tokens()).toBe(4);
    expect(await tokensOfChoices('nonsense', (text) => text.length)).toBe(0);
  });

  it('tells when some choice was finished', () => {
    const delivered = new Delivered(counter().count);
    delivered.add(Buffer.from(contentEvent('one')));
    expect(delivered.finishing()).toBe(false);
    delivered.add(Buffer.from(finishEvent('length')));
    expect(delivered.finishing()).toBe(true);
  });

  it('counts what it kept and what it read on its own the same', async () => {
    const delivered = new Delivered(counter().count);
    const piece = 'x'.repeat(50_000);
    for (let round = 0; round < 20; round++) delivered.add(Buffer.from(contentEvent(piece)));
    expect(await delivered.tokens()).toBe(20 * 50_000);
  });
});

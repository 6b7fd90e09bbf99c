import { describe, expect, it } from '@jest/globals';
import { collectBody } from '../../src/providers/collect-body.ts';
import type { BodyReader, UpstreamAnswer } from '../../src/providers/provider.ts';

const answer = (deliver: (reader: BodyReader) => void): UpstreamAnswer => ({ status: 200, headers: {}, read: deliver, resume: () => {} });

describe('collectBody', () => {
  it('gives all of it, and rejects where it breaks off', async () => {
    const whole = answer((reader) => (reader.data(Buffer.from('a')), reader.data(Buffer.from('b')), reader.end()));
    expect((await collectBody(whole)).toString()).toBe('ab');
    await expect(collectBody(answer((reader) => reader.error(new Error('reset'))))).rejects.toThrow('reset');
  });
});

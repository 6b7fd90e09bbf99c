import { describe, expect, it } from '@jest/globals';
import { OpenStreams } from '../../src/admission/open-streams.ts';

describe('open streams', () => {
  it('lets no account have more open than the limit, and tells others nothing of it', () => {
    const streams = new OpenStreams(2);
    const leave = streams.enter('one');
    streams.enter('one');
    expect(() => streams.enter('one')).toThrow(expect.objectContaining({ code: 'rate_limit_exceeded' }));
    expect(() => streams.enter('other')).not.toThrow();
    leave();
    expect(() => streams.enter('one')).not.toThrow();
  });

  it('counts a stream out once, however often it is told', () => {
    const streams = new OpenStreams(1);
    const leave = streams.enter('one');
    leave();
    streams.enter('one');
    leave();
    expect(() => streams.enter('one')).toThrow(expect.objectContaining({ code: 'rate_limit_exceeded' }));
  });
});

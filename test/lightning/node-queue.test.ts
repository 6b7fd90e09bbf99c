import { describe, expect, it } from '@jest/globals';
import { NodeQueue } from '../../src/lightning/node-queue.ts';

/** Calls that end when they are told to. */
function calls(queue: NodeQueue): { start(name: string, yielding?: boolean): Promise<void>; end(name: string): void; running: string[] } {
  const running: string[] = [];
  const ends = new Map<string, () => void>();
  return {
    running,
    start: (name, yielding = false) =>
      queue.run(
        () => {
          running.push(name);
          return new Promise<void>((resolve) => ends.set(name, resolve));
        },
        { yielding },
      ),
    end: (name) => {
      running.splice(running.indexOf(name), 1);
      ends.get(name)?.();
    },
  };
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

describe('the queue for a node', () => {
  it('keeps a fifth of its places, running and waiting, from calls that yield', async () => {
    const queue = new NodeQueue({ atOnce: 5, mostWaiting: 5 });
    const { start, running } = calls(queue);
    for (let n = 1; n <= 4; n++) void start(`keyless ${n}`, true);
    for (let n = 5; n <= 8; n++) void start(`keyless ${n}`, true);
    await expect(start('keyless 9', true)).rejects.toMatchObject({ code: 'overloaded' });
    void start('keyed');
    await turn();
    expect(running).toEqual(['keyless 1', 'keyless 2', 'keyless 3', 'keyless 4', 'keyed']);
    void start('keyed too');
    await expect(start('keyed in vain')).rejects.toMatchObject({ code: 'overloaded' });
  });

  it('lets the others go first, whoever came first', async () => {
    const queue = new NodeQueue({ atOnce: 2, mostWaiting: 10 });
    const { start, end, running } = calls(queue);
    void start('a');
    void start('b');
    void start('keyless', true);
    void start('keyed');
    end('a');
    await turn();
    expect(running).toEqual(['b', 'keyed']);
    end('b');
    await turn();
    expect(running).toEqual(['keyed', 'keyless']);
  });

  it('goes on after a call that failed', async () => {
    const queue = new NodeQueue({ atOnce: 1, mostWaiting: 1 });
    const failed = queue.run(() => Promise.reject(new Error('away')));
    const next = queue.run(() => Promise.resolve('fine'));
    await expect(failed).rejects.toThrow('away');
    await expect(next).resolves.toBe('fine');
  });
});

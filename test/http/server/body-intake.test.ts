import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { GatewayError } from '../../../src/errors.ts';
import { BodyIntake, type ReceivedBody } from '../../../src/http/server/body-intake.ts';

const LIMITS = { total: 100_000, strangers: 20_000, account: 40_000, address: 8_000 };

function open() {
  const intake = new BodyIntake(LIMITS);
  const refused: [name: string, code: string][] = [];
  const begin = (name: string, isKnown: boolean): ReceivedBody =>
    intake.begin({ name, isKnown }, (error: GatewayError) => refused.push([name, error.code]));
  return { intake, refused, known: (name: string) => begin(name, true), stranger: (name: string) => begin(name, false) };
}

const bytes = (length: number) => Buffer.alloc(length, 'x');

describe('bodies that are being received', () => {
  it('are whole, in whatever pieces they come', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 50 }), { maxLength: 50 }), (pieces) => {
        const body = open().known('a');
        for (const piece of pieces) body.add(Buffer.from(piece));
        expect(body.bytes()).toEqual(Buffer.concat(pieces));
      }),
    );
  });

  it('take little more than their bytes, however small the pieces are', () => {
    const intake = new BodyIntake();
    const body = intake.begin({ name: 'a', isKnown: true }, () => {});
    for (let piece = 0; piece < 100_000; piece++) body.add(bytes(1));
    expect(body.bytes()).toHaveLength(100_000);
    expect(intake.heldBytes).toBeLessThan(300_000);
    expect(body.bytes().buffer.byteLength).toBeLessThan(300_000);
  });

  it('give up the largest where all together are too much, and never the next to come', () => {
    const { intake, refused, known } = open();
    for (const name of ['a', 'b', 'c', 'd']) known(name).add(bytes(20_000));
    known('e').add(bytes(30_000));
    expect(refused).toEqual([['e', 'overloaded']]);
    for (let each = 0; each < 50; each++) known(`short ${each}`).add(bytes(100));
    expect(refused).toHaveLength(1);
    expect(intake.heldBytes).toBeLessThanOrEqual(LIMITS.total);
  });

  it('of strangers leave the rest to those with a key', () => {
    const { intake, refused, known, stranger } = open();
    for (let each = 0; each < 100; each++) stranger(`address ${each}`).add(bytes(1_000));
    expect(refused.length).toBeGreaterThan(80);
    expect(intake.heldBytes).toBeLessThanOrEqual(LIMITS.strangers);
    known('a').add(bytes(30_000));
    known('b').add(bytes(30_000));
    expect(refused.every(([name]) => name.startsWith('address'))).toBe(true);
  });

  it('of one address or account are no more than its share', () => {
    const { refused, known, stranger } = open();
    stranger('address').add(bytes(5_000));
    stranger('address').add(bytes(5_000));
    known('account').add(bytes(25_000));
    known('account').add(bytes(25_000));
    expect(refused).toEqual([
      ['address', 'overloaded'],
      ['account', 'overloaded'],
    ]);
  });

  it('may be as large as they like where nobody else is there', () => {
    const { refused, known } = open();
    known('a').add(bytes(1_000_000));
    expect(refused).toEqual([]);
  });

  it('leave nothing behind, however they end', () => {
    const event = fc.record({
      name: fc.constantFrom('a', 'b', 'c', 'd'),
      isKnown: fc.boolean(),
      length: fc.nat(30_000),
      ends: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(event, { maxLength: 100 }), (events) => {
        const intake = new BodyIntake(LIMITS);
        const bodies = events.map(({ name, isKnown, length, ends }) => {
          const body = intake.begin({ name: `${name} ${isKnown}`, isKnown }, () => {});
          body.add(bytes(length));
          if (ends) intake.end(body);
          expect(intake.heldBytes).toBeLessThanOrEqual(LIMITS.total);
          return body;
        });
        for (const body of bodies) intake.end(body);
        expect([intake.heldBytes, intake.holders]).toEqual([0, 0]);
      }),
    );
  });
});

import { randomBytes, randomUUID } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import { describeInvoice, isUnderOurName, readSeal, type InvoiceOwner } from '../../src/invoices/invoice-seal.ts';

const root = (id: string) => ({ id, secret: randomBytes(32) });
const OWNERS: InvoiceOwner[] = [{ accountId: randomUUID() }, { payerKeyId: randomUUID() }];

describe("the seal in an invoice's description", () => {
  it.each(OWNERS)('tells the invoice and its owner (%o), after words for its payer', (owner) => {
    const roots = [root('7')];
    const sealed = { invoiceId: randomUUID(), owner };
    const description = describeInvoice(roots, { ...sealed, amountSat: 1_000_000 });
    expect(description).toMatch(/^Pura top-up: 1000000 sats [\w-]+$/);
    expect(description.length).toBeLessThan(110);
    expect(isUnderOurName(description)).toBe(true);
    expect(readSeal(roots, description)).toEqual(sealed);
    expect(readSeal([root('8'), ...roots], description)).toEqual(sealed);
    const [, ownerId = ''] = Object.entries(owner)[0] ?? [];
    expect(Buffer.from(description.split(' ').at(-1) ?? '', 'base64url').includes(Buffer.from(ownerId.replaceAll('-', ''), 'hex'))).toBe(
      false,
    );
  });

  it('is the same each time, so that a node that is asked twice is asked the same', () => {
    const roots = [root('0')];
    const invoice = { invoiceId: randomUUID(), owner: { accountId: randomUUID() }, amountSat: 5 };
    expect(describeInvoice(roots, invoice)).toBe(describeInvoice(roots, invoice));
  });

  it('says nothing where any of its bytes is another, or the secret is', () => {
    const roots = [root('0')];
    const description = describeInvoice(roots, { invoiceId: randomUUID(), owner: { accountId: randomUUID() }, amountSat: 5 });
    const [words, seal = ''] = description.split(/ (?=\S+$)/);
    const bytes = Buffer.from(seal, 'base64url');
    for (let at = 0; at < bytes.length; at++) {
      const changed = Buffer.from(bytes);
      changed[at] = (changed[at] ?? 0) ^ 1;
      expect(readSeal(roots, `${words} ${changed.toString('base64url')}`)).toBeNull();
    }
    expect(readSeal([root('0')], description)).toBeNull();
    for (const other of ['', 'Pura top-up: 5 sats', 'coffee', `${words} `, `${description}A`, description.slice(0, -1)]) {
      expect(readSeal(roots, other)).toBeNull();
    }
  });
});

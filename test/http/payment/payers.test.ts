import { describe, expect, it } from '@jest/globals';
import type { Request } from 'express';
import { createHash, randomUUID } from 'node:crypto';
import type { ApiKey } from '../../../src/accounts/api-key.ts';
import { Payers } from '../../../src/http/payment/payers.ts';
import type { Invoice } from '../../../src/invoices/invoice.ts';
import { mintToken } from '../../../src/challenges/payment-token.ts';
import { TEST_ROOT } from '../../support/funded.ts';

const grant = { keyId: randomUUID(), keyPrefix: 'pura_test', idleDays: null };
const accountId = randomUUID();

describe('the payments that are remembered', () => {
  it('are bounded, however many credentials are shown, and those left are not asked for again', async () => {
    let asked = 0;
    const key = { id: grant.keyId, prefix: grant.keyPrefix, accountId } as ApiKey;
    const payers = new Payers({
      roots: [TEST_ROOT],
      mostRemembered: 100,
      keys: { authenticate: () => Promise.resolve(key), byId: () => Promise.resolve(key), used: () => {} },
      funding: {
        ofPayment: (paymentHash) => {
          asked++;
          return Promise.resolve({ paymentHash, accountId, status: 'paid' } as Invoice);
        },
        confirm: (invoice) => Promise.resolve(invoice),
      },
    });
    const show = (index: number) => {
      const preimage = createHash('sha256').update(String(index)).digest();
      const paymentHash = createHash('sha256').update(preimage).digest();
      const authorization = `L402 ${mintToken([TEST_ROOT], { paymentHash, grant })}:${preimage.toString('hex')}`;
      return payers.identify({ headers: { authorization }, rawHeaders: ['Authorization', authorization] } as unknown as Request);
    };
    for (let index = 0; index < 150; index++) await show(index);
    expect([payers.remembered, asked]).toEqual([100, 150]);
    await show(149);
    expect(asked).toBe(150);
    await show(0);
    expect([payers.remembered, asked]).toEqual([100, 151]);
  });
});

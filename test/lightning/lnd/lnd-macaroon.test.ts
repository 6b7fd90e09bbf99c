import { describe, expect, it } from '@jest/globals';
import { PAYING_CALLS } from '../../../src/lightning/lnd/lnd-payments.ts';
import { macaroonPowers } from '../../../src/lightning/lnd/lnd-macaroon.ts';
import { lndMacaroon } from '../../support/lnd-macaroon.ts';

/** As `lncli bakemacaroon uri:/lnrpc.Lightning/AddInvoice …` of LND 0.21 made it; its node is gone. */
const BAKED = Buffer.from(
  '0201036c6e64029901030a10c0a4f757dd472b3160ae254c374d50e31201301a80010a03757269121b2f6c6e7270632e4c696768746e696e672f416464496e766f69636512182f6c6e7270632e4c696768746e696e672f476574496e666f121e2f6c6e7270632e4c696768746e696e672f4c6f6f6b7570496e766f69636512222f6c6e7270632e4c696768746e696e672f537562736372696265496e766f6963657300000620b2834ed5b5fa6accf349b608a5e2ac77e408bcf7c76f3af88a561e5ae1b3186a',
  'hex',
);

describe('what a macaroon of LND permits', () => {
  it('is exactly what the gateway needs where it was baked for it', () => {
    expect(macaroonPowers(BAKED)).toEqual({ excess: [], missing: [] });
  });

  it('is too little for withdrawals where it was baked for receiving alone, and not too much where it was baked for both', () => {
    const calls = [...PAYING_CALLS.keys()];
    expect(macaroonPowers(BAKED, PAYING_CALLS)).toEqual({ excess: [], missing: calls });
    const uris = ['AddInvoice', 'LookupInvoice', 'SubscribeInvoices', 'GetInfo'].map((call) => `/lnrpc.Lightning/${call}`);
    const both = lndMacaroon({ uri: [...uris, ...calls.map((call) => call.slice('uri:'.length))] });
    expect(macaroonPowers(both, PAYING_CALLS)).toEqual({ excess: [], missing: [] });
    expect(macaroonPowers(both)).toMatchObject({ excess: calls });
  });

  it.each<[string, Record<string, string[]>, { excess: string[]; missing: string[] }]>([
    [
      'payments and more, like the one of an admin',
      { invoices: ['read', 'write'], info: ['read'], offchain: ['read', 'write'] },
      { excess: ['invoices:read', 'invoices:write', 'info:read', 'offchain:read', 'offchain:write'], missing: [] },
    ],
    [
      'invoices without the state of the node',
      { invoices: ['read', 'write'] },
      { excess: ['invoices:read', 'invoices:write'], missing: ['uri:/lnrpc.Lightning/GetInfo'] },
    ],
    [
      'one call too many',
      {
        uri: [
          '/lnrpc.Lightning/AddInvoice',
          '/lnrpc.Lightning/LookupInvoice',
          '/lnrpc.Lightning/SubscribeInvoices',
          '/lnrpc.Lightning/GetInfo',
          '/routerrpc.Router/SendPaymentV2',
        ],
      },
      { excess: ['uri:/routerrpc.Router/SendPaymentV2'], missing: [] },
    ],
  ])('is seen: %s', (_name, permissions, powers) => {
    expect(macaroonPowers(lndMacaroon(permissions))).toEqual(powers);
  });

  it.each([
    ['nothing', Buffer.alloc(0)],
    ['something else', Buffer.from('not a macaroon')],
    ['one cut off', BAKED.subarray(0, 60)],
    ['one of another kind', Buffer.from('02010361626302040102030400000620', 'hex')],
  ])('is unknown for %s', (_name, bytes) => {
    expect(macaroonPowers(bytes)).toBeUndefined();
  });
});

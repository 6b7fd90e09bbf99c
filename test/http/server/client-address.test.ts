import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { addressIn, clientAddress, sharesOf } from '../../../src/http/server/client-address.ts';

describe('clientAddress', () => {
  it.each([
    ['192.0.2.1', '192.0.2.1'],
    ['::ffff:192.0.2.1', '192.0.2.1'],
    ['::FFFF:192.0.2.1', '192.0.2.1'],
    ['::ffff:c000:201', '192.0.2.1'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
    ['2001:db8:1:2::', '2001:db8:1:2::/64'],
    ['2001:DB8:0001:0002::9', '2001:db8:1:2::/64'],
    ['2001:db8::1', '2001:db8:0:0::/64'],
    ['::1', '0:0:0:0::/64'],
    ['::', '0:0:0:0::/64'],
    ['fe80::1%eth0', 'fe80:0:0:0::/64'],
    ['64:ff9b::192.0.2.1', '64:ff9b:0:0::/64'],
    [undefined, 'unknown'],
    ['', 'unknown'],
    ['no address', 'no address'],
  ])('takes %s for %s', (ip, expected) => {
    expect(clientAddress(ip)).toBe(expected);
  });
});

describe('an address', () => {
  it.each([
    ['198.51.100.7:50123', '198.51.100.7'],
    [' 198.51.100.7 ', '198.51.100.7'],
    ['"198.51.100.7:50123"', '198.51.100.7'],
    ['[2001:db8::1]:4711', '2001:db8:0:0:0:0:0:1'],
    ['[2001:db8::1]', '2001:db8:0:0:0:0:0:1'],
    ['"[2001:db8::1]:4711"', '2001:db8:0:0:0:0:0:1'],
    ['"[2001:db8::1]:_port"', '2001:db8:0:0:0:0:0:1'],
    ['[fe80::1%eth0]:80', 'fe80:0:0:0:0:0:0:1'],
    ['[::ffff:192.0.2.1]:80', '192.0.2.1'],
    ['::ffff:192.0.2.1:80', '192.0.2.1'],
    ['2001:db8::1:4711', '2001:db8:0:0:0:0:1:4711'],
    ['unknown', null],
    ['_hidden', null],
    ['_hidden:80', null],
    ['unknown:50123', null],
    ['[192.0.2.1]', null],
    ['192.0.2.1:port', null],
    ['192.0.2.1:500000', null],
    ['192.0.2', null],
    ['192.0.2.256', null],
    ['[2001:db8::1', null],
    ['client.example', null],
    ['', null],
  ])('in %j is %j', (text, expected) => {
    expect(addressIn(text)).toBe(expected);
  });

  it('is one, however it is written', () => {
    const port = fc.oneof(
      fc.constant(''),
      fc.nat(65_535).map((number) => `:${number}`),
    );
    const quoted = fc.boolean();
    fc.assert(
      fc.property(fc.ipV4(), port, quoted, (ip, suffix, inQuotes) => {
        const text = ip + suffix;
        expect(addressIn(inQuotes ? `"${text}"` : text)).toBe(ip);
        expect(addressIn(`[::ffff:${ip}]${suffix}`)).toBe(ip);
      }),
    );
    fc.assert(
      fc.property(fc.ipV6(), port, quoted, fc.boolean(), (ip, suffix, inQuotes, capitals) => {
        const text = `[${capitals ? ip.toUpperCase() : ip}]${suffix}`;
        expect(addressIn(inQuotes ? `"${text}"` : text)).toBe(addressIn(ip));
        expect(clientAddress(text)).toBe(clientAddress(ip));
      }),
    );
  });
});

describe('the networks that a sender is part of', () => {
  it.each([
    ['192.0.2.1:80', ['192.0.2.1', '192.0.2.0/24', '192.0.0.0/16']],
    ['2001:db8:1:2ff::9', ['2001:db8:1:2ff::/64', '2001:db8:1:200::/56', '2001:db8:1:0::/48']],
    ['2001:db8:1:ffff::9', ['2001:db8:1:ffff::/64', '2001:db8:1:ff00::/56', '2001:db8:1:0::/48']],
    [undefined, ['unknown']],
  ])('of %s are %j, each with a larger share', (address, names) => {
    const shares = sharesOf(address);
    expect(shares.map(({ name }) => name)).toEqual(names);
    const times = shares.map((share) => share.times);
    expect(times[0]).toBe(1);
    expect(times).toEqual(times.toSorted((a, b) => a - b));
  });
});

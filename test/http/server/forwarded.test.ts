import { describe, expect, it } from '@jest/globals';
import express, { type Request } from 'express';
import fc from 'fast-check';
import { clientAddress } from '../../../src/http/server/client-address.ts';
import { clientOf } from '../../../src/http/server/forwarded.ts';
import { originOf } from '../../../src/http/server/origin.ts';

const PROXY = '10.0.0.1';
const app = express().set('trust proxy', ['loopback', '10.0.0.0/8', '2001:db8:ffff::/48']);

const from = (headers: Record<string, string>, peer = PROXY) => ({ app, headers, socket: { remoteAddress: peer } }) as unknown as Request;
const client = (headers: Record<string, string>, peer = PROXY) => clientAddress(clientOf(from(headers, peer)));
const origin = (headers: Record<string, string>, peer = PROXY) => originOf(from({ host: 'inner:8402', ...headers }, peer), undefined);

describe('the sender of a request', () => {
  it.each<[string, Record<string, string>, string]>([
    ['nothing is said', {}, PROXY],
    ['an address', { 'x-forwarded-for': '198.51.100.7' }, '198.51.100.7'],
    ['a port', { 'x-forwarded-for': '198.51.100.7:50123' }, '198.51.100.7'],
    ['a chain of trusted proxies, with ports', { 'x-forwarded-for': '198.51.100.7:1, 10.0.0.3:2, [2001:db8:ffff::1]:3' }, '198.51.100.7'],
    ['what the client made up stands before it', { 'x-forwarded-for': '203.0.113.1, unknown, 198.51.100.7' }, '198.51.100.7'],
    ['no address', { 'x-forwarded-for': 'unknown' }, PROXY],
    ['no address, by a trusted proxy further out', { 'x-forwarded-for': '198.51.100.7, _hidden, 10.0.0.3' }, '10.0.0.3'],
    ['nothing at all', { 'x-forwarded-for': '' }, PROXY],
    ['all are trusted', { 'x-forwarded-for': '10.0.0.4, 10.0.0.3' }, '10.0.0.4'],
    ['an element', { forwarded: 'for=198.51.100.7;proto=https' }, '198.51.100.7'],
    ['an element of IPv6', { forwarded: 'Proto=https; For="[2001:db8:1:2::9]:4711"' }, '2001:db8:1:2::/64'],
    ['elements of trusted proxies', { forwarded: 'for=203.0.113.1, for="198.51.100.7:1";by=_a, for=10.0.0.3' }, '198.51.100.7'],
    ['an element that hides it', { forwarded: 'for=_secret' }, PROXY],
    ['an element without an address', { forwarded: 'proto=https' }, PROXY],
    ['elements that are none', { forwarded: ';;,="",for="198.51.100.7' }, PROXY],
    ['a comma in quotes', { forwarded: 'by="a, for=203.0.113.1";for=198.51.100.7' }, '198.51.100.7'],
    ['both, alike', { forwarded: 'for="198.51.100.7:99"', 'x-forwarded-for': '198.51.100.7' }, '198.51.100.7'],
    ['both, unlike: one of them may be the client’s', { forwarded: 'for=203.0.113.1', 'x-forwarded-for': '198.51.100.7' }, PROXY],
  ])('where the proxies say %s', (_what, headers, expected) => {
    expect(client(headers)).toBe(expected);
  });

  it.each(['x-forwarded-for', 'forwarded'])('is its peer where that is no trusted proxy, whatever %s says', (name) => {
    expect(client({ [name]: 'for=198.51.100.7' }, '192.0.2.9')).toBe('192.0.2.9');
    expect(client({ [name]: '198.51.100.7' }, '::ffff:192.0.2.9')).toBe('192.0.2.9');
  });

  it('is one, whatever port and spelling the proxies write', () => {
    const port = fc.oneof(
      fc.constant(''),
      fc.nat(65_535).map((number) => `:${number}`),
    );
    const untrusted = fc.ipV4().filter((ip) => !/^(10|127)\./.test(ip));
    const chain = fc.array(fc.constantFrom('10.1.2.3', '127.0.0.1', '10.255.0.9'), { maxLength: 3 });
    fc.assert(
      fc.property(untrusted, chain, fc.array(port, { minLength: 4, maxLength: 4 }), fc.string(), (ip, proxies, ports, madeUp) => {
        const written = [ip, ...proxies].map((address, index) => address + ports[index]);
        const garbage = madeUp.replaceAll(/["\\]/g, '');
        expect(client({ 'x-forwarded-for': [garbage, ...written].join(', ') })).toBe(ip);
        expect(client({ forwarded: [garbage, ...written.map((address) => `for="${address}"`)].join(',') })).toBe(ip);
      }),
    );
  });

  it('is the proxy, or an address that it wrote, for any garbage', () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom('1', '.', ':', '[', ']', '"', ',', ';', '=', 'f', 'for=', '\\', ' ') }), (text) => {
        for (const name of ['x-forwarded-for', 'forwarded']) {
          const address = clientOf(from({ [name]: text }));
          expect(address === PROXY || /^[\d.]+$|^[0-9a-f:]+$/.test(String(address))).toBe(true);
        }
        expect(origin({ forwarded: text, 'x-forwarded-host': text, 'x-forwarded-proto': text })).toMatch(/^http:\/\/\S+$/);
      }),
      { numRuns: 1_000 },
    );
  });
});

describe('what a request was sent to', () => {
  it.each<[string, Record<string, string>, string]>([
    ['nothing', {}, 'http://inner:8402'],
    ['scheme and host', { 'x-forwarded-proto': 'https', 'x-forwarded-host': 'pura.example' }, 'https://pura.example'],
    [
      'several, by two proxies',
      { 'x-forwarded-for': '198.51.100.7, 10.0.0.3', 'x-forwarded-proto': 'https, http', 'x-forwarded-host': 'pura.example:8443, inner' },
      'https://pura.example:8443',
    ],
    [
      'what the client made up before it',
      { 'x-forwarded-for': '1.1.1.1, 198.51.100.7', 'x-forwarded-proto': 'http, https', 'x-forwarded-host': 'evil.example, pura.example' },
      'https://pura.example',
    ],
    [
      'what the client made up, and names no sender',
      { 'x-forwarded-proto': 'http, https', 'x-forwarded-host': 'evil.example, pura.example' },
      'https://pura.example',
    ],
    [
      'one value by the last of two proxies',
      { 'x-forwarded-for': '198.51.100.7, 10.0.0.3', 'x-forwarded-proto': 'https', 'x-forwarded-host': 'pura.example' },
      'https://pura.example',
    ],
    ['an element', { forwarded: 'for=198.51.100.7;proto=https;host=pura.example' }, 'https://pura.example'],
    ['an element in quotes', { forwarded: 'for=198.51.100.7;proto="HTTPS";host="pura.example:443"' }, 'https://pura.example:443'],
    [
      'the client’s own element before',
      { forwarded: 'for=1.1.1.1;proto=http;host=evil, for=198.51.100.7;proto=https;host=pura.example' },
      'https://pura.example',
    ],
    ['no scheme of the web', { 'x-forwarded-proto': 'javascript', 'x-forwarded-host': 'a b<script>' }, 'http://inner:8402'],
    ['no host', { forwarded: 'for=198.51.100.7;host="a/b"' }, 'http://inner:8402'],
  ])('where the proxies say %s', (_what, headers, expected) => {
    expect(origin(headers)).toBe(expected);
  });

  it('is what it says itself where its peer is no trusted proxy', () => {
    const headers = { forwarded: 'proto=https;host=evil', 'x-forwarded-proto': 'https', 'x-forwarded-host': 'evil' };
    expect(origin(headers, '192.0.2.9')).toBe('http://inner:8402');
  });

  it.each(['a"><script>', "a.example/'", 'a b', '$&', ''])(
    'is no host where the client says %p: it would stand in pages and links',
    (host) => {
      expect(origin({ host })).toBe('http://localhost');
      expect(origin({ host }, '192.0.2.9')).toBe('http://localhost');
    },
  );
});

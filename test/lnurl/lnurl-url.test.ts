import { expect, it } from '@jest/globals';
import { lnurlObstacle } from '../../src/lnurl/lnurl-obstacle.ts';
import { encodeLnurl, lnurlLink } from '../../src/lnurl/lnurl-url.ts';

it('a URL is encoded as in the example of LUD-01', () => {
  const url = 'https://service.com/api?q=3fc3645b439ce8e7f2553a69e5267081d96dcd340693afabe04be7b0ccd178df';
  expect(encodeLnurl(url)).toBe(
    'LNURL1DP68GURN8GHJ7UM9WFMXJCM99E3K7MF0V9CXJ0M385EKVCENXC6R2C35XVUKXEFCV5MKVV34X5EKZD3EV56NYD3HXQURZEPEXEJXXEPNXSCRVWFNV9NXZCN9XQ6XYEFHVGCXXCMYXYMNSERXFQ5FNS',
  );
  expect(lnurlLink('lnurlw', url)).toBe(`lnurlw:${url.slice('https:'.length)}`);
});

it.each([
  ['https://pura.example', 'mainnet', null],
  ['https://pura.example:8443', 'signet', null],
  ['http://abcdefghijklmnop.onion', 'mainnet', null],
  ['http://127.0.0.1:8402', 'simulated', null],
  ['http://localhost:8402', 'regtest', null],
  ['http://[::1]:8402', 'mainnet', null],
  ['http://pura.example', 'mainnet', 'https'],
  ['http://192.168.1.7:8402', 'mainnet', 'https'],
  ['http://127.0.0.1.evil.example', 'mainnet', 'https'],
  ['http://onion', 'mainnet', 'https'],
  ['https://pura.example', 'simulated', 'play money'],
  ['http://abcdefghijklmnop.onion', 'simulated', 'play money'],
  ['nothing', 'mainnet', 'https'],
] as const)('under %s on %s the obstacle is %s', (origin, network, obstacle) => {
  expect(String(lnurlObstacle(origin, network))).toContain(String(obstacle));
});

import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { afterEach, describe, expect, it } from '@jest/globals';
import { WebSocketServer } from 'ws';
import { isAllowedAddress } from '../../../src/lightning/nwc/relay-address.ts';
import { RelayPool, type SignedEvent } from '../../../src/lightning/nwc/relay-pool.ts';
import { RelayAddressError, RelaySockets, type RelaySocketsOptions } from '../../../src/lightning/nwc/relay-socket.ts';
import { TEST_TLS } from '../../support/tls.ts';

const STRICT = { allowLoopback: false };
const LOOPBACK = { allowLoopback: true };
const closing: (() => unknown)[] = [];

afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

describe('an address that a stranger chose', () => {
  it.each([
    ...['1.1.1.1', '8.8.8.8', '100.63.255.255', '100.128.0.1', '172.15.0.1', '172.32.0.1', '192.167.1.1', '223.255.255.255'],
    ...['2606:4700:4700::1111', '2a00:1450:4001::1', '2001:4860:4860::8888', '2003::1'],
  ])('%s is public', (address) => {
    expect(isAllowedAddress(address, STRICT)).toBe(true);
  });

  it.each([
    // IPv4: this host, private, shared, loopback, link-local and clouds' metadata, protocols, documentation, 6to4, benchmarks, multicast, reserved.
    ...['0.0.0.0', '0.1.2.3', '10.0.0.1', '10.255.255.255', '100.64.0.1', '100.127.255.255', '127.0.0.1', '127.255.255.254'],
    ...['169.254.0.1', '169.254.169.254', '172.16.0.1', '172.31.255.255', '192.0.0.8', '192.0.2.1', '192.88.99.1', '192.168.0.1'],
    ...['198.18.0.1', '198.19.255.255', '198.51.100.1', '203.0.113.1', '224.0.0.1', '239.255.255.255', '240.0.0.1', '255.255.255.255'],
    // IPv6: unspecified, loopback, unique local, link-local, site-local, multicast, documentation, discard-only.
    ...['::', '::1', 'fc00::1', 'fd12:3456::1', 'fe80::1', 'fe80::1%eth0', 'fec0::1', 'ff02::1', '2001:db8::1', '3fff::1', '100::1'],
    // IPv4 in IPv6: mapped, compatible, translated, NAT64, 6to4, Teredo.
    ...['::ffff:127.0.0.1', '::ffff:7f00:1', '::ffff:8.8.8.8', '::127.0.0.1', '::ffff:0:127.0.0.1', '64:ff9b::7f00:1', '64:ff9b:1::1'],
    ...['2002:7f00:1::', '2001:0:4136:e378:8000:63bf:3fff:fdd2', '0:0:0:0:0:ffff:10.0.0.1'],
    // No addresses at all.
    ...['', 'localhost', '127.1', '0x7f000001', '2130706433', '0177.0.0.1', '[::1]'],
  ])('%s is not', (address) => {
    expect(isAllowedAddress(address, STRICT)).toBe(false);
  });

  it.each([
    ['127.0.0.1', true],
    ['127.1.2.3', true],
    ['::1', true],
    ['10.0.0.1', false],
    ['169.254.169.254', false],
    ['::ffff:10.0.0.1', false],
  ])('%s is allowed with loopback: %s', (address, isAllowed) => {
    expect(isAllowedAddress(address, LOOPBACK)).toBe(isAllowed);
  });
});

/** A server of this machine's that counts who knocks. */
async function listen(server: Server = createServer()): Promise<{ port: number; knocks: () => number; server: Server }> {
  const connections: Socket[] = [];
  server.on('connection', (socket: Socket) => connections.push(socket));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  closing.push(() => {
    for (const socket of connections) socket.destroy();
    server.close();
  });
  return { port: (server.address() as AddressInfo).port, knocks: () => connections.length, server };
}

function sockets(options: RelaySocketsOptions): RelaySockets {
  const made = new RelaySockets({ deadlineMs: 2_000, ...options });
  closing.push(() => made.close());
  return made;
}

/** How a connection to a URL goes. */
async function opened(made: RelaySockets, url: string): Promise<'open' | 'refused'> {
  const socket = made.open(url);
  return new Promise((resolve) => {
    socket.addEventListener('open', () => resolve('open'));
    socket.addEventListener('error', () => resolve('refused'));
  });
}

describe('a connection to a relay', () => {
  it.each([
    ['a name of a private address', ['10.1.2.3']],
    ['a name of a public and a private address', ['1.1.1.1', '127.0.0.1']],
    ['a name of the clouds’ metadata', ['169.254.169.254']],
    ['a name of a mapped loopback', ['::ffff:127.0.0.1']],
    ['a name of nothing', []],
  ])('is not made to %s', async (_name, addresses) => {
    const { port, knocks } = await listen();
    const made = sockets({ ...STRICT, resolve: async () => addresses });
    await expect(made.refuseHost('relay.example.com')).rejects.toBeInstanceOf(RelayAddressError);
    expect(await opened(made, `ws://relay.example.com:${port}`)).toBe('refused');
    expect(knocks()).toBe(0);
  });

  it('is not made to a name that was public when it was checked, and is private when it is connected to', async () => {
    const { port, knocks } = await listen();
    const answers = [['1.1.1.1'], ['127.0.0.1']];
    const made = sockets({ ...STRICT, resolve: async () => answers.shift() ?? [] });
    await made.refuseHost('relay.example.com');
    expect(await opened(made, `ws://relay.example.com:${port}`)).toBe('refused');
    expect([knocks(), answers]).toEqual([0, []]);
  });

  it.each(['127.0.0.1', '[::1]', '[::ffff:127.0.0.1]', '0x7f.1', '2130706433', '0177.1', '0', 'localhost', '127.0.0.1.'])(
    'is not made to %s, by whatever spelling',
    async (host) => {
      const { port, knocks } = await listen();
      expect(await opened(sockets({ ...STRICT }), `ws://${host}:${port}`)).toBe('refused');
      expect(knocks()).toBe(0);
    },
  );

  it('goes to the very address that was checked, asked for once', async () => {
    const { port, server } = await listen();
    new WebSocketServer({ server }).on('connection', () => {});
    let asked = 0;
    const made = sockets({ ...LOOPBACK, resolve: async () => (asked++ === 0 ? ['127.0.0.1'] : ['10.0.0.1']) });
    expect(await opened(made, `ws://relay.example.com:${port}`)).toBe('open');
    expect(asked).toBe(1);
  });

  it.each([
    ['its name’s', 'localhost', 'open'],
    ['another name’s', 'relay.example.com', 'refused'],
  ])('over TLS is good with a certificate that is %s', async (_name, host, expected) => {
    const { port, server } = await listen(createTlsServer(TEST_TLS));
    new WebSocketServer({ server }).on('connection', () => {});
    const made = sockets({ ...LOOPBACK, resolve: async () => ['127.0.0.1'], certificate: TEST_TLS.cert.toString() });
    expect(await opened(made, `wss://${host}:${port}`)).toBe(expected);
  });

  it('follows no redirect', async () => {
    const inside = await listen();
    const { port } = await listen(
      createServer((_req, res) => res.writeHead(302, { location: `http://127.0.0.1:${inside.port}/` }).end()).on(
        'upgrade',
        (_req, socket) => socket.end(`HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:${inside.port}/\r\n\r\n`),
      ),
    );
    expect(await opened(sockets(LOOPBACK), `ws://127.0.0.1:${port}`)).toBe('refused');
    expect(inside.knocks()).toBe(0);
  });

  it('is given up where nobody answers within the deadline', async () => {
    const { port, server } = await listen();
    // Taken, and never answered.
    server.on('upgrade', () => {});
    expect(await opened(sockets({ ...LOOPBACK, deadlineMs: 200 }), `ws://127.0.0.1:${port}`)).toBe('refused');
  });

  it('is not kept by a relay that does not say goodbye', async () => {
    const { port, server } = await listen();
    const left = new Promise<void>((resolve) => {
      server.on('upgrade', (req, socket) => {
        const accept = createHash('sha1')
          .update(`${req.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`)
          .digest('base64');
        socket.write(`HTTP/1.1 101 OK\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`);
        socket.on('error', () => {}).on('end', resolve);
        socket.resume();
      });
    });
    const made = sockets(LOOPBACK);
    expect(await opened(made, `ws://127.0.0.1:${port}`)).toBe('open');
    await made.close();
    await left;
  });

  it('is ended by a relay that sends more than any event holds', async () => {
    const { port, server } = await listen();
    new WebSocketServer({ server }).on('connection', (client) => client.send('x'.repeat(300 * 1024)));
    const pool = new RelayPool(sockets(LOOPBACK));
    const url = `ws://127.0.0.1:${port}`;
    await new Promise<string>((resolve) => {
      pool.subscribe([url], { kinds: [1], authors: [] }, { onevent: () => {}, ondisconnect: resolve });
    });
  });
});

describe('what a relay says', () => {
  const author = 'aa'.repeat(32);
  const event: SignedEvent = {
    id: '0'.repeat(64),
    pubkey: author,
    created_at: 1,
    kind: 23195,
    tags: [['e', 'x']],
    content: '',
    sig: '0'.repeat(128),
  };

  it.each<[string, unknown]>([
    ['is no JSON', 'nonsense'],
    ['is no list', { EVENT: 1 }],
    ['is for no subscription', ['EVENT', 'other', event]],
    ['is no event', ['EVENT', 's1', 7]],
    ['has another author', ['EVENT', 's1', { ...event, pubkey: 'bb'.repeat(32) }]],
    ['has tags of numbers', ['EVENT', 's1', { ...event, tags: [[1]] }]],
    ['has another id than its content', ['EVENT', 's1', event]],
  ])('is passed over where it %s', async (_name, message) => {
    const { port, server } = await listen();
    new WebSocketServer({ server }).on('connection', (client) => {
      client.on('message', () => {
        client.send(typeof message === 'string' ? message : JSON.stringify(message));
        client.close();
      });
    });
    const pool = new RelayPool(sockets(LOOPBACK));
    const heard: SignedEvent[] = [];
    await new Promise<string>((resolve) => {
      const handlers = { onevent: (each: SignedEvent) => void heard.push(each), ondisconnect: resolve };
      pool.subscribe([`ws://127.0.0.1:${port}`], { kinds: [23195], authors: [author] }, handlers);
    });
    expect(heard).toEqual([]);
  });
});

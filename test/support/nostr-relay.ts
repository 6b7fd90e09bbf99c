import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { WebSocketServer, type WebSocket } from 'ws';
import { killAndWait } from './embedded-process.ts';

/** What a relay can be told to do with events of some kinds. */
export interface RelayFaults {
  /** Taken and never handed on. */
  drop?: readonly number[];
  /** Handed on twice. */
  twice?: readonly number[];
}

/** A Nostr relay in a process of its own, on a free port of loopback. */
export interface NostrRelay {
  readonly url: string;
  /** From now on, until it is told otherwise or started again. */
  faults(faults: RelayFaults): Promise<void>;
  /** Every connection breaks, and none is taken until `start`. */
  kill(): Promise<void>;
  /** After `kill`, on the same port. What it had stored is gone. */
  start(): Promise<void>;
  /** Frozen with its connections open, and back. */
  signal(signal: 'SIGSTOP' | 'SIGCONT'): void;
  stop(): Promise<void>;
}

const SCRIPT = fileURLToPath(import.meta.url);

export async function startNostrRelay(): Promise<NostrRelay> {
  let { child, port } = await launch(0);
  return {
    url: `ws://127.0.0.1:${port}`,
    async faults(faults) {
      const done = once(child, 'message');
      child.send(faults);
      await done;
    },
    kill: () => killAndWait(child, 'SIGKILL'),
    async start() {
      ({ child, port } = await launch(port));
    },
    signal: (signal) => void child.kill(signal),
    stop: () => killAndWait(child, 'SIGKILL'),
  };
}

async function launch(wanted: number): Promise<{ child: ChildProcess; port: number }> {
  const child = spawn(process.execPath, [SCRIPT, String(wanted)], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  const [port] = (await once(child, 'message')) as [number];
  return { child, port };
}

interface Event {
  id: string;
  kind: number;
  pubkey: string;
  created_at: number;
  tags: string[][];
}

interface Filter {
  kinds?: number[];
  authors?: string[];
  limit?: number;
  [tag: `#${string}`]: string[] | undefined;
}

/** As much of NIP-01 as wallets use: the last event of a kind that is replaced is kept, the rest is only handed on. */
async function serve(wanted: number): Promise<void> {
  const server = new WebSocketServer({ host: '127.0.0.1', port: wanted });
  const subscriptions = new Map<WebSocket, Map<string, Filter[]>>();
  const stored = new Map<string, Event>();
  let faults: RelayFaults = {};

  const handOn = (event: Event): void => {
    for (const [client, filters] of subscriptions)
      for (const [id, some] of filters)
        if (some.some((filter) => matches(filter, event))) client.send(JSON.stringify(['EVENT', id, event]));
  };
  const publish = (event: Event): void => {
    if (event.kind >= 10_000 && event.kind < 20_000) stored.set(`${event.pubkey} ${event.kind}`, event);
    if (faults.drop?.includes(event.kind)) return;
    handOn(event);
    if (faults.twice?.includes(event.kind)) handOn(event);
  };

  server.on('connection', (client) => {
    const own = new Map<string, Filter[]>();
    subscriptions.set(client, own);
    client.on('close', () => subscriptions.delete(client));
    client.on('message', (data: Buffer) => {
      const [type, first, ...rest] = JSON.parse(data.toString()) as [string, unknown, ...Filter[]];
      if (type === 'EVENT') {
        client.send(JSON.stringify(['OK', (first as Event).id, true, '']));
        publish(first as Event);
      } else if (type === 'REQ') {
        own.set(first as string, rest);
        for (const event of stored.values())
          if (rest.some((filter) => matches(filter, event))) client.send(JSON.stringify(['EVENT', first, event]));
        client.send(JSON.stringify(['EOSE', first]));
      } else if (type === 'CLOSE') own.delete(first as string);
    });
  });
  await once(server, 'listening');
  process.on('message', (message: RelayFaults) => {
    faults = message;
    process.send?.('done');
  });
  // Whoever started it has gone.
  process.on('disconnect', () => process.exit());
  process.send?.((server.address() as AddressInfo).port);
}

function matches(filter: Filter, event: Event): boolean {
  const tagged = (name: string, values: readonly string[]) =>
    event.tags.some(([key, value]) => key === name && values.includes(value ?? ''));
  return (
    (filter.kinds?.includes(event.kind) ?? true) &&
    (filter.authors?.includes(event.pubkey) ?? true) &&
    Object.entries(filter).every(([key, values]) => !key.startsWith('#') || tagged(key.slice(1), values as string[]))
  );
}

if (process.argv[1] === SCRIPT) await serve(Number(process.argv[2]));

import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';

/** A way through to another port of loopback that a test can trouble. */
export interface Cuttable {
  /** `host:port` to connect to. */
  readonly socket: string;
  /** What comes from the other side is held back from now on; what goes there still passes. */
  mute(): void;
  /**
   * The connection that next sends so many bytes at once is held up from these on, until `release`, and others pass: as when its packets
   * are lost and sent again, or kept by a proxy. Also what its sender has closed meanwhile arrives in the end.
   */
  holdNext(bytes: number): void;
  /** How many connections are held up. */
  readonly held: number;
  /** What was held up arrives. */
  release(): void;
  /** Drops every connection, with what was held back, and refuses new ones. */
  cut(): void;
  /** Lets new connections through again, to `target` where one is given. */
  restore(target?: string): void;
  close(): Promise<void>;
}

interface Connection {
  near: Socket;
  far: Socket;
  /** What is held back of what comes from near. */
  held: Buffer[] | undefined;
}

/** Opens a way to `target`, a `host:port`. */
export async function openCuttable(target: string): Promise<Cuttable> {
  const connections = new Set<Connection>();
  let [to, isCut, isMuted, holdFrom] = [target, false, false, Infinity];
  const server = createServer((near) => {
    if (isCut) {
      near.destroy();
      return;
    }
    const far = connect(Number(to.split(':')[1]), '127.0.0.1');
    const connection: Connection = { near, far, held: undefined };
    connections.add(connection);
    const end = (): void => {
      near.destroy();
      if (connection.held && !far.destroyed) return;
      connections.delete(connection);
      far.destroy();
    };
    for (const socket of [near, far]) socket.on('error', end).on('close', end);
    near.on('data', (chunk: Buffer) => {
      if (chunk.length >= holdFrom) [holdFrom, connection.held] = [Infinity, []];
      if (connection.held) connection.held.push(chunk);
      else far.write(chunk);
    });
    far.pipe(near);
    if (isMuted) far.unpipe(near).pause();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const cut = (): void => {
    isCut = true;
    for (const connection of connections) {
      connection.held = undefined;
      connection.near.destroy();
      connection.far.destroy();
    }
  };
  const heldUp = (): Connection[] => [...connections].filter(({ held }) => held);
  return {
    socket: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    mute() {
      isMuted = true;
      for (const { near, far } of connections) far.unpipe(near).pause();
    },
    holdNext(bytes) {
      holdFrom = bytes;
    },
    get held() {
      return heldUp().length;
    },
    release() {
      for (const connection of heldUp()) {
        for (const chunk of connection.held ?? []) connection.far.write(chunk);
        connection.held = undefined;
      }
    },
    cut,
    restore(newTarget) {
      [to, isCut, isMuted] = [newTarget ?? to, false, false];
    },
    async close() {
      cut();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

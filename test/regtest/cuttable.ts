import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';

/** A way through to another port of loopback that a test can trouble. */
export interface Cuttable {
  /** `host:port` to connect to. */
  readonly socket: string;
  /** What comes from the other side is held back from now on; what goes there still passes. */
  mute(): void;
  /** Drops every connection, with what was held back, and refuses new ones. */
  cut(): void;
  /** Lets new connections through again, to `target` where one is given. */
  restore(target?: string): void;
  close(): Promise<void>;
}

/** Opens a way to `target`, a `host:port`. */
export async function openCuttable(target: string): Promise<Cuttable> {
  const connections = new Set<{ near: Socket; far: Socket }>();
  let [to, isCut, isMuted] = [target, false, false];
  const server = createServer((near) => {
    if (isCut) {
      near.destroy();
      return;
    }
    const far = connect(Number(to.split(':')[1]), '127.0.0.1');
    const connection = { near, far };
    connections.add(connection);
    const end = (): void => {
      connections.delete(connection);
      near.destroy();
      far.destroy();
    };
    for (const socket of [near, far]) socket.on('error', end).on('close', end);
    near.pipe(far);
    far.pipe(near);
    if (isMuted) far.unpipe(near).pause();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const cut = (): void => {
    isCut = true;
    for (const { near, far } of connections) {
      near.destroy();
      far.destroy();
    }
  };
  return {
    socket: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    mute() {
      isMuted = true;
      for (const { near, far } of connections) far.unpipe(near).pause();
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

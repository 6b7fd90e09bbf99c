import { once } from 'node:events';
import { connect } from 'node:net';

/** A request whose body lacks its last byte. */
export interface WithheldRequest {
  /** Sends the last byte; gives the answer's status and body. */
  finish(): Promise<{ status: number; body: string }>;
}

/** Sends a request but for the last byte of its body. Resolves once the gateway has begun with it. */
export async function withhold(
  url: string,
  { method, path, body, headers }: { method: string; path: string; body: string; headers: Record<string, string> },
): Promise<WithheldRequest> {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  socket.on('error', () => {});
  let answer = '';
  socket.on('data', (chunk) => (answer += chunk.toString()));
  const lines = Object.entries({
    Host: `${hostname}:${port}`,
    'Content-Type': 'application/json',
    'Content-Length': String(Buffer.byteLength(body)),
    Connection: 'close',
    Expect: '100-continue',
    ...headers,
  });
  socket.write(`${method} ${path} HTTP/1.1\r\n${lines.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`);
  // The gateway says so when it hands the request on to its routes.
  await once(socket, 'data');
  answer = '';
  socket.write(body.slice(0, -1));
  // One that came after it was answered: the request before has got as far as it gets without its body.
  await fetch(`${url}/health`);
  return {
    async finish() {
      const closed = once(socket, 'close');
      socket.write(body.slice(-1));
      await closed;
      return { status: Number(answer.split(' ')[1]), body: answer.slice(answer.indexOf('\r\n\r\n') + 4) };
    },
  };
}

import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

export interface HalfSentOptions {
  path?: string;
  headers?: Record<string, string>;
  /** Bytes of the body that are sent; one more is announced. */
  sentBytes?: number;
  /** Announces no length. */
  chunked?: boolean;
}

/** A POST whose body never comes whole. */
export async function halfSent(
  url: string,
  { path = '/v1/chat/completions', headers = {}, sentBytes = 1, chunked = false }: HalfSentOptions = {},
): Promise<Socket> {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  socket.on('error', () => {});
  await once(socket, 'connect');
  const length = chunked ? { 'transfer-encoding': 'chunked' } : { 'content-length': String(sentBytes + 1) };
  const lines = Object.entries({ host: 'a', 'content-type': 'application/json', ...headers, ...length });
  socket.write(`POST ${path} HTTP/1.1\r\n${lines.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`);
  socket.write(`${chunked ? `${sentBytes.toString(16)}\r\n` : ''}${' '.repeat(sentBytes)}`);
  return socket;
}

/** The beginning of what is answered. */
export async function answerOf(socket: Socket): Promise<string> {
  const [bytes] = (await once(socket, 'data')) as [Buffer];
  return bytes.toString();
}

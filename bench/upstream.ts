import { createServer, type ServerResponse } from 'node:http';
import { answerBody, answerEvents } from './exchange.ts';
import { announce } from './child.ts';

/** A provider that answers at once and does nothing else, in a process of its own: what is measured is the proxy before it. */
const JSON_ANSWER = answerBody();
const EVENTS = answerEvents();
const STREAM = Buffer.from('"stream":true');

const server = createServer({ keepAliveTimeout: 60_000 }, (req, res) => {
  let stream = false;
  req.on('data', (part: Buffer) => (stream ||= part.includes(STREAM)));
  req.on('end', () => {
    if (!stream)
      return void res.writeHead(200, { 'Content-Type': 'application/json', 'Content-Length': JSON_ANSWER.length }).end(JSON_ANSWER);
    res.writeHead(200, { 'Content-Type': 'text/event-stream' });
    sendFrom(0, res);
  });
});

/** One event a turn of the loop, so that each leaves as a packet of its own, as a model's tokens do. */
function sendFrom(index: number, res: ServerResponse): void {
  const event = EVENTS[index];
  if (!event || res.destroyed) return void res.end();
  res.write(event);
  setImmediate(sendFrom, index + 1, res);
}

announce(server);

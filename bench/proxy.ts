import { parseArgs } from 'node:util';
import { startChild } from './child.ts';
import type { Round, RoundResult } from './load.ts';
import { startPura } from './pura.ts';
import { printTables, type Measured } from './report.ts';

/**
 * `npm run bench`: Pura beside a proxy that does nothing but proxy, on loopback, in interleaved rounds. Options:
 * `--quick` one short round each, to see that everything runs; `--rounds`, `--seconds` (of a round), `--connections 16,64`,
 * `--no-streams`. Ends with 1 where a request failed or the books do not agree with the answers. Never asserts a speed.
 */
const { values: options } = parseArgs({
  allowNegative: true,
  options: {
    quick: { type: 'boolean', default: false },
    rounds: { type: 'string' },
    seconds: { type: 'string' },
    connections: { type: 'string' },
    streams: { type: 'boolean', default: true },
    /** Node's own options for the gateway, e.g. `--node=--cpu-prof`. */
    node: { type: 'string', multiple: true, default: [] },
  },
});

const ROUNDS = Number(options.rounds ?? (options.quick ? 1 : 5));
const SECONDS = Number(options.seconds ?? (options.quick ? 1 : 4));
const CONNECTIONS = (options.connections ?? '16,64,256').split(',').map(Number);
/** Pura has more code to warm: after five seconds it still takes half as long again for a request as after twenty. */
const WARM_UP_SECONDS = options.quick ? 1 : 15;
const STREAMS_AT_ONCE = 64;

const upstream = await startChild('upstream');
const bare = await startChild('bare-proxy', [String(upstream.hello)]);
const load = await startChild('load');
const pura = await startPura(String(upstream.hello), options.node);
const problems: string[] = [];
let answers = 0;

try {
  const proxies = { bare: { origin: String(bare.hello), apiKey: 'none' }, pura: { origin: pura.origin, apiKey: pura.apiKey } };
  const measured: Measured[] = [];
  const shapes = [
    ...CONNECTIONS.map((connections) => ({ connections, stream: false })),
    ...(options.streams ? [{ connections: STREAMS_AT_ONCE, stream: true }] : []),
  ];
  for (const name of ['bare', 'pura'] as const) {
    for (const stream of options.streams ? [false, true] : [false])
      await round(name, { ...proxies[name], connections: 64, seconds: WARM_UP_SECONDS, stream });
  }
  for (const shape of shapes) {
    for (let turn = 0; turn < ROUNDS; turn++) {
      for (const name of ['bare', 'pura'] as const) {
        measured.push({ ...shape, name, result: await round(name, { ...proxies[name], ...shape, seconds: SECONDS }) });
      }
    }
  }
  problems.push(...(await pura.discrepancies(answers)));
  printTables(measured);
  console.log(
    problems.length === 0 ? `\n${answers} requests answered, each charged once; the ledger is sound.` : `\n${problems.join('\n')}`,
  );
} finally {
  await pura.end();
  await Promise.all([upstream, bare, load].map((child) => child.end()));
}
process.exitCode = problems.length === 0 ? 0 : 1;

async function round(name: 'bare' | 'pura', shape: Round): Promise<RoundResult> {
  const result = (await load.ask(shape)) as RoundResult;
  if (result.failures > 0)
    problems.push(`${name}, ${shape.connections} connections: ${result.failures} failed, the first with ${String(result.firstFailure)}`);
  if (name === 'pura') answers += result.answers;
  process.stderr.write('.');
  return result;
}

import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { addHistory } from '../../bench/large-history.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { createSite, type GatewayProcess, type GatewaySite } from '../support/gateway-process.ts';
import type { TestKey } from '../support/gateway.ts';
import { signedIn } from '../support/signed-in.ts';

const REQUESTS = 110_000;
/** What one file has at most; then comes a line that says where to go on. */
const MOST_ROWS = 100_000;
/** Of the gateway's heap: less than the lines of two such files take as objects, on top of the gateway itself. Beyond it Node gives up. */
const HEAP_MEGABYTES = 128;
const PAUSE_EVERY_BYTES = 2_000_000;

let database: TestDatabase;
let site: GatewaySite;
let gateway: GatewayProcess;
let key: TestKey;

beforeAll(async () => {
  database = await createTestDatabase();
  site = createSite({
    env: { DATABASE_URL: database.connectionString },
    command: [`--max-old-space-size=${HEAP_MEGABYTES}`, 'src/server.ts'],
  });
  gateway = await site.start();
  key = await gateway.newKey();
  await database.pool.query('update accounts set free_limit = 0 where id = $1', [key.accountId]);
  await addHistory(database.pool, { accountId: key.accountId, keyId: key.id }, { requests: REQUESTS, keys: 100, spread: false });
});
afterAll(async () => {
  await site.close();
  await database.drop();
});

it(`a statement of ${MOST_ROWS} rows is streamed in bounded memory, to two readers at once that take their time`, async () => {
  const { cookies } = await signedIn(gateway.url, key.secret);
  const cookie = cookies.map(({ name, value }) => `${name}=${value}`).join('; ');
  const read = async () => {
    const answer = await fetch(`${gateway.url}/console/statement.csv`, { headers: { cookie } });
    expect(answer.status).toBe(200);
    let [rows, bytes, paused, sum, text] = [0, 0, 0, 0n, ''];
    for await (const piece of (answer.body ?? new ReadableStream()).pipeThrough(new TextDecoderStream())) {
      bytes += piece.length;
      const lines = (text + piece).split('\r\n');
      text = lines.pop() ?? '';
      rows += lines.length;
      for (const line of lines) sum += BigInt(/^[^,]+,\d+,charge,(-\d+),/.exec(line)?.[1] ?? 0);
      if (bytes - paused < PAUSE_EVERY_BYTES) continue;
      paused = bytes;
      await gateway.get('/health');
    }
    return { rows, sum };
  };
  const files = await Promise.all([read(), read()]);
  const { rows } = await database.pool.query<{ sum: bigint }>(
    `select -sum(amount_msat)::bigint as sum from (select amount_msat from transfers where account_id = $1 order by id desc limit $2) t`,
    [key.accountId, MOST_ROWS],
  );
  // The head, and the line that says where to go on.
  for (const file of files) expect(file).toMatchObject({ rows: MOST_ROWS + 2, sum: rows[0]?.sum });
  expect((await gateway.get('/health')).status).toBe(200);
});

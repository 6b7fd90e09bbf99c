import { expect, it } from '@jest/globals';
import type { Ending, UnderWay } from '../../src/completions/call.ts';
import { keepWarm } from '../../src/completions/keep-warm.ts';
import type { Bill } from '../../src/metering/bill.ts';
import { WarmCaches } from '../../src/routing/warm-caches.ts';
import { NO_FACTS } from '../../src/wires/request.ts';
import { ZERO_USAGE } from '../../src/wires/usage.ts';
import { requestOf } from '../support/inference-request.ts';

type Warm = string | null;

const request = requestOf({}, { model: 'auto', facts: () => ({ ...NO_FACTS, opening: 'Hello.' }) });
const bill = { usage: { ...ZERO_USAGE, input: 2_000 }, spent: [] as unknown } as Bill;
const ids = ['a/1', 'b/1', 'c/1'];
const candidates = ids.map((id) => ({ deployment: { id }, rendering: {} }));

function warmAfter(
  before: Warm,
  ending: object,
  { isWhole = false, reason = undefined as string | undefined, of = candidates } = {},
): Warm {
  const caches = new WarmCaches();
  if (before !== null) caches.answered('alice', request, { deploymentId: before, usage: bill.usage, cachesLong: false });
  const underWay = {
    call: { request, apiKey: { accountId: 'alice' } },
    plan: { candidates: of, steps: [of] },
    grant: { cancellation: { reason } },
  };
  keepWarm(caches, underWay as unknown as UnderWay, ending as Ending, bill, isWhole);
  return caches.warmFor('alice', request);
}

const json = (index: number) => ({ kind: 'json', candidate: candidates[index] });
const stream = (index: number, reason: string) => ({ kind: 'stream', candidate: candidates[index], end: { reason } });
const failed = { kind: 'failed', attempts: [] };

it.each<[what: string, before: Warm, ending: object, options: Parameters<typeof warmAfter>[2], after: Warm]>([
  ['a first answer', null, json(0), { isWhole: true }, 'a/1'],
  ['a whole stream', null, stream(1, 'complete'), { isWhole: true }, 'b/1'],
  ['an answer that was not settled', null, json(0), {}, null],
  ['an answer of one behind the warm one, which failed', 'a/1', json(1), { isWhole: true }, 'b/1'],
  ['an answer of one that was asked before the warm one', 'b/1', json(0), { isWhole: true }, 'b/1'],
  ['a stream of the warm one that broke off', 'a/1', stream(0, 'broke_off'), {}, null],
  ['a stream of the warm one that told of an error', 'a/1', stream(0, 'provider_error'), {}, null],
  ['a stream of another that broke off', 'b/1', stream(0, 'broke_off'), {}, 'b/1'],
  ['a client that left', 'a/1', stream(0, 'client_gone'), {}, 'a/1'],
  ['a refusal', 'a/1', { kind: 'refused', candidate: candidates[0] }, {}, 'a/1'],
  ['a refusal behind the warm one, which failed', 'a/1', { kind: 'refused', candidate: candidates[1] }, {}, null],
  ['failures of all', 'c/1', failed, {}, null],
  ['a request that was given up', 'c/1', failed, { reason: 'shutdown' }, 'c/1'],
  ['an answer where no other could serve', null, json(0), { isWhole: true, of: candidates.slice(0, 1) }, null],
])('after %s the warm deployment is who has the conversation now', (_what, before, ending, options, after) => {
  expect(warmAfter(before, ending, options)).toBe(after);
});

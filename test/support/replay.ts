import type { Deployment } from '../../src/models/deployment.ts';
import { judge } from '../../src/routing/complexity.ts';
import { chooseCandidates } from '../../src/routing/choose.ts';
import { FleetHealth } from '../../src/routing/fleet-health.ts';
import { chanceWrong } from '../../src/routing/score.ts';
import type { InferenceRequest } from '../../src/wires/request.ts';
import { catalogueOf } from './catalogue-of.ts';
import { readChat } from './chat-request.ts';
import { deployment as deploymentOf, rateCard } from './deployment.ts';
import { randomFrom } from './random.ts';
import { drawnTtftMs, type Truth } from './simulated-deployments.ts';

/** What a policy came to over all requests. */
export interface Replayed {
  readonly policy: string;
  readonly costUsd: number;
  /** The mean chance of a right answer; a request that nobody answered has none. */
  readonly quality: number;
  readonly p95Seconds: number;
  readonly failures: number;
  readonly explored: number;
  /** Of the answers, in per cent. */
  readonly shares: Readonly<Record<string, number>>;
}

function make(provider: string, model: string, tier: Deployment['tier'], dollars: number): Deployment {
  const output = BigInt(Math.round(dollars * 1e6));
  return deploymentOf({
    model,
    tier,
    provider: { ...deploymentOf().provider, id: provider },
    rateCard: rateCard({ input: output / 4n, output }),
  });
}

const DEPLOYMENTS = [
  make('groq', 'llama-small', 'cheap', 0.08),
  make('gemini', 'flash-lite', 'cheap', 0.4),
  make('openai', 'mini', 'cheap', 0.6),
  make('gemini', 'flash', 'mid', 2.5),
  make('anthropic', 'haiku', 'mid', 5),
  make('openai', 'flagship', 'premium', 10),
  make('anthropic', 'opus', 'premium', 25),
];

/** What goes wrong at a provider for a while, as parts of the whole time. */
const TROUBLES = [
  { provider: 'groq', from: 0.1, to: 0.2, successRate: 0, slower: 1 },
  { provider: 'groq', from: 0.5, to: 0.65, successRate: 0.98, slower: 12 },
  { provider: 'gemini', from: 0.3, to: 0.4, successRate: 0.6, slower: 1 },
  { provider: 'openai', from: 0.35, to: 0.45, successRate: 0.97, slower: 8 },
  { provider: 'anthropic', from: 0.7, to: 0.8, successRate: 0, slower: 1 },
  { provider: 'openai', from: 0.85, to: 0.9, successRate: 0.3, slower: 3 },
];
const USUAL: Readonly<Record<string, Truth>> = {
  groq: { successRate: 0.995, ttftMs: 300, tokensPerSecond: 200 },
  gemini: { successRate: 0.995, ttftMs: 600, tokensPerSecond: 120 },
  openai: { successRate: 0.997, ttftMs: 800, tokensPerSecond: 80 },
  anthropic: { successRate: 0.996, ttftMs: 1_000, tokensPerSecond: 70 },
};

function truthOf({ provider: { id } }: Deployment, part: number): Truth {
  const usual = USUAL[id] ?? { successRate: 1, ttftMs: 1_000, tokensPerSecond: 50 };
  const trouble = TROUBLES.find(({ provider, from, to }) => provider === id && part >= from && part < to);
  if (!trouble) return usual;
  return { ...usual, successRate: Math.min(usual.successRate, trouble.successRate), ttftMs: usual.ttftMs * trouble.slower };
}

/** From small talk to proofs, as chats come. */
const PROMPTS = [
  'hi there',
  'Translate "good morning" into Portuguese.',
  'Write a short thank-you note to my landlord.',
  'Summarise the plot of Hamlet in three sentences.',
  'Write a Python function that merges two sorted lists, and explain its complexity.',
  'A train leaves at 9:40 and covers 312 km at 96 km/h, then waits 25 minutes. When does it arrive after another 148 km at 74 km/h?',
  'Refactor this class and debug the race condition:\n```ts\nclass Queue { items = []; async take() { while (!this.items.length) await tick(); return this.items.shift(); } }\n```',
  'Prove step by step that every bounded monotone sequence converges, and analyse where completeness is needed. Compare the trade-offs of two proofs.',
];
const REQUESTS = PROMPTS.map((content) => readChat(JSON.stringify({ messages: [{ role: 'user', content }] })));
const OUTPUT_TOKENS = 400;
const FAILED_SECONDS = 1;
const STARTED_MS = Date.UTC(2026, 0, 1);

type Policy = (
  request: InferenceRequest,
  health: FleetHealth,
  random: () => number,
) => { order: readonly Deployment[]; explored?: boolean };

const cheapest = DEPLOYMENTS[0];
const best = DEPLOYMENTS.at(-1);
const POLICIES: readonly [string, Policy][] = [
  ['router', throughRouter],
  ['always cheapest', () => ({ order: cheapest ? [cheapest] : [] })],
  ['always best', () => ({ order: best ? [best] : [] })],
  ['random', (_request, _health, random) => ({ order: DEPLOYMENTS.slice(Math.floor(random() * DEPLOYMENTS.length)).slice(0, 1) })],
];

function throughRouter(request: InferenceRequest, health: FleetHealth, random: () => number): ReturnType<Policy> {
  const view = { healthOf: (one: Deployment) => health.healthOf(one), capacityOf: () => 1, warm: null, random, explores: true };
  const { candidates, explored } = chooseCandidates(request, MODELS, { allowedModels: null }, view);
  return { order: candidates.map(({ deployment }) => deployment), explored };
}

const MODELS = catalogueOf(DEPLOYMENTS);

/** Sends the same requests through each policy: one a second, to providers that slow down, fail and recover. Only the router has fallbacks. */
export function replay(requests: number, seed: number): Replayed[] {
  // The health of deployments goes by the wall clock.
  const wallClock = Date.now;
  try {
    return POLICIES.map(([name, policy]) => replayed(name, policy, requests, seed));
  } finally {
    Date.now = wallClock;
  }
}

function replayed(policy: string, choose: Policy, requests: number, seed: number): Replayed {
  const random = randomFrom(seed);
  // The fixed choices have nobody else to ask, so they ask whatever the circuit says.
  const health = new FleetHealth(() => {}, { bars: policy === 'router' });
  const sum = { costUsd: 0, quality: 0, failures: 0, explored: 0 };
  const seconds: number[] = [];
  const served = new Map<string, number>();
  for (let second = 0; second < requests; second++) {
    Date.now = () => STARTED_MS + second * 1_000;
    const request = REQUESTS[Math.floor(random() ** 1.5 * REQUESTS.length)] ?? REQUESTS[0];
    if (!request) throw new Error('no request');
    const { order, explored = false } = choose(request, health, random);
    if (explored) sum.explored++;
    let waited = 0;
    const answered = order.find((deployment) => {
      const pass = health.enter(deployment);
      if ('shut' in pass) return false;
      const truth = truthOf(deployment, second / requests);
      const ttftMs = drawnTtftMs(truth, random);
      const ok = random() < truth.successRate;
      const answerSeconds = ttftMs / 1_000 + OUTPUT_TOKENS / truth.tokensPerSecond;
      if (ok) pass.end({ kind: 'ok', ttftMs, outputTokens: OUTPUT_TOKENS, seconds: answerSeconds });
      else pass.end({ kind: 'fault', reason: '500', retryAfterSeconds: null });
      waited += ok ? answerSeconds : FAILED_SECONDS;
      return ok;
    });
    if (second % 60 === 0) health.prune();
    seconds.push(waited);
    if (!answered) {
      sum.failures++;
      continue;
    }
    const { rateCard: card, tier, provider } = answered;
    sum.costUsd += (Number(card.input) * (request.bodyBytes / 4) + Number(card.output) * OUTPUT_TOKENS) / 1e12;
    sum.quality += 1 - chanceWrong(judge(request).difficulty, tier);
    served.set(provider.id, (served.get(provider.id) ?? 0) + 1);
  }
  const sorted = seconds.toSorted((a, b) => a - b);
  const shares = Object.fromEntries([...served].map(([id, count]) => [id, Math.round((1_000 * count) / requests) / 10]));
  return { policy, ...sum, quality: sum.quality / requests, p95Seconds: sorted[Math.floor(sorted.length * 0.95)] ?? NaN, shares };
}

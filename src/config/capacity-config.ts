import { z } from 'zod';
import { ethereumAddress } from './ethereum-address.ts';
import { PUBLIC_PROVIDERS } from './public-providers.ts';
import { httpUrl, text } from './value.ts';

/** Base Sepolia, and its public node. */
const CHAIN_ID = 84_532;
const RPC_URL = 'https://sepolia.base.org';
const MOST_NODES = 8;
const MOST_MEMBERS = 256;

const weight = z.number().min(0).max(1e9);

/** A node of the chain. The address often holds a key, so it is told to nobody. */
const rpcUrl = httpUrl.refine((url) => !/^https?:\/\/[^/?#]*@/i.test(url), 'must have no user in it');

const pool = z
  .strictObject({
    address: ethereumAddress,
    rpcUrl: rpcUrl.optional(),
    /** Several nodes: each is asked where those before it gave no good answer. */
    rpcUrls: z.array(rpcUrl).min(1).max(MOST_NODES).optional(),
    chainId: z.int().min(1).default(CHAIN_ID),
    /** The address of each provider's member. */
    members: z.record(text, ethereumAddress).superRefine((members, context) => {
      const names = Object.keys(members);
      if (names.length === 0) context.addIssue({ code: 'custom', message: 'must name a provider' });
      if (names.length > MOST_MEMBERS) context.addIssue({ code: 'custom', message: `must be ${MOST_MEMBERS} or fewer` });
      // Its units would count twice.
      for (const [index, name] of names.entries())
        if (names.slice(0, index).some((earlier) => members[earlier] === members[name]))
          context.addIssue({ code: 'custom', path: [name], message: "is another provider's address too" });
    }),
    refreshSeconds: z.int().min(5).max(86_400).default(60),
  })
  .refine((given) => !(given.rpcUrl && given.rpcUrls), { path: ['rpcUrls'], message: 'must not be given beside rpcUrl' })
  .transform(({ rpcUrl: one, rpcUrls: several, ...rest }) => ({ ...rest, rpcUrls: several ?? [one ?? RPC_URL] }));

/** How much each provider can take in proportion to the others: numbers, or the units of a Superfluid pool's members. */
export const capacityMembers = z
  .strictObject({
    weights: z
      .record(text, weight)
      .refine((weights) => Object.values(weights).some((one) => one > 0), 'must have one above 0')
      .optional(),
    pool: pool.optional(),
  })
  .refine(({ weights, pool: given }) => (weights === undefined) !== (given === undefined), 'must have either weights or pool');

export type CapacityConfig = z.infer<typeof capacityMembers>;
export type CapacityPoolConfig = NonNullable<CapacityConfig['pool']>;

interface WithCapacity {
  readonly capacity?: CapacityConfig | undefined;
  readonly deployments: readonly { readonly id: string }[];
}

/** Refuses the names of providers that there cannot be. A public one without a key may get one any day. */
export function refuseUnknownProviders({ capacity, deployments }: WithCapacity, context: z.RefinementCtx): void {
  const known = new Set<string>([...PUBLIC_PROVIDERS, 'demo', ...deployments.map(({ id }) => id)]);
  for (const [path, names] of [
    [['capacity', 'weights'], Object.keys(capacity?.weights ?? {})],
    [['capacity', 'pool', 'members'], Object.keys(capacity?.pool?.members ?? {})],
  ] as const)
    for (const name of names)
      if (!known.has(name))
        context.addIssue({ code: 'custom', path: [...path, name], message: 'is no public provider and no id of a deployment' });
}

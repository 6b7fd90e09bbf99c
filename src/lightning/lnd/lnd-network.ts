import type { Network } from '../wallet.ts';

/** By the chain's id: the hash of its first block in the order of its bytes (BOLT 2). */
const NETWORKS: Readonly<Record<string, Network>> = {
  '6fe28c0ab6f1b372c1a6a246ae63f74f931e8365e15a089c68d6190000000000': 'mainnet',
  '43497fd7f826957108f4a30fd9cec3aeba79972084e90ead01ea330900000000': 'testnet',
  '43f08bdab050e35b567c864b91f47f50ae725ae2de53bcfbbaf284da00000000': 'testnet',
  f61eee3b63a380a477a063af32b2bbc97c9ff9f01f2c4225e973988108000000: 'signet',
  '06226e46111a0b59caaf126043eb5bbf28c34f3a5e332a1fc7b2b73cf188910f': 'regtest',
};

/** The network of an LND's chains; undefined where none of them is Bitcoin's. */
export function networkOf(chains: readonly string[]): Network | undefined {
  return chains.map((chain) => NETWORKS[chain]).find((known) => known !== undefined);
}

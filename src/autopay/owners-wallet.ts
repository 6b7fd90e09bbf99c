import { setTimeout as delay } from 'node:timers/promises';
import { GatewayError } from '../errors.ts';
import type { Invoice } from '../invoices/invoice.ts';
import { NwcConnectionError, NwcPayer, type NwcPayerOptions, type PayAnswer, type PayerBudget } from '../lightning/nwc/nwc-payer.ts';
import type { Network, Wallet } from '../lightning/wallet.ts';
import type { KeptWallet } from './autopay-settings.ts';
import { consequenceOf, reasonSentence, wordOf, type WalletWord } from './wallet-word.ts';

/** What a wallet says of itself now. `problem`, in words, where it cannot be asked to pay. */
export interface WalletCheck {
  readonly problem: string | null;
  /** Null where the wallet could not be asked. */
  readonly wallet: KeptWallet | null;
  /** Null where there is no limit or the wallet does not tell. */
  readonly budget: PayerBudget | null;
}

export interface OwnersWalletOptions {
  /** Our own. */
  wallet: Pick<Wallet, 'nodeId' | 'network'>;
  payers: NwcPayerOptions;
  repeatMs?: number | undefined;
  /** Ends what is under way. */
  signal: AbortSignal;
}

/** A wallet that is asked too often says so at once; by then its invoice still has time enough. */
const REPEAT_MS = 10_000;

/** Asks wallets that belong to owners of accounts. Each question is a connection of its own. */
export class OwnersWallet {
  readonly #options: OwnersWalletOptions;

  constructor(options: OwnersWalletOptions) {
    this.#options = options;
  }

  /** A wallet that may be asked to pay. Throws GatewayError `invalid_request` for `nwcUrl` where it may not. */
  async suitable(url: string): Promise<KeptWallet> {
    const { problem, wallet } = await this.#asked(url, { budget: false });
    if (problem !== null || !wallet) throw new GatewayError('invalid_request', { message: `nwcUrl: ${problem}`, param: 'nwcUrl' });
    return wallet;
  }

  async check(url: string): Promise<WalletCheck> {
    return this.#asked(url, { budget: true });
  }

  /**
   * Asks a wallet to pay an invoice. Gives its word, and when it may be asked again where it told; undefined where nobody waited for that.
   * `url` is null for a connection that cannot be read any more.
   */
  async pay(
    url: string | null,
    walletNode: string | null,
    { bolt11 }: Pick<Invoice, 'bolt11'>,
  ): Promise<{ word: WalletWord; retryAt: Date | null } | undefined> {
    if (url === null) return { word: 'SECRET_GONE', retryAt: null };
    const { wallet, signal } = this.#options;
    const payer = this.#payer(url);
    // What was good once is refused by the rules of today.
    if (!payer) return { word: 'SECRET_GONE', retryAt: null };
    try {
      if (isOurs(wallet, [walletNode, payer.connection.walletKey])) return { word: 'OWN_WALLET', retryAt: null };
      let answer = await this.#unlessClosing(payer.pay(bolt11));
      if (answer?.kind === 'refused' && answer.code === 'RATE_LIMITED') {
        await delay(this.#options.repeatMs ?? REPEAT_MS, undefined, { signal }).catch(() => {});
        answer = await this.#unlessClosing(payer.pay(bolt11));
      }
      if (!answer) return undefined;
      const word = wordFor(answer);
      const mayTell = consequenceOf(word) === 'await_budget';
      const budget = mayTell ? await this.#unlessClosing(payer.budget()) : null;
      return { word, retryAt: budget?.renewsAt ?? null };
    } finally {
      await payer.close();
    }
  }

  #payer(url: string): NwcPayer | undefined {
    try {
      return new NwcPayer(url, this.#options.payers);
    } catch (error) {
      if (error instanceof NwcConnectionError) return undefined;
      throw error;
    }
  }

  async #asked(url: string, { budget }: { budget: boolean }): Promise<WalletCheck> {
    const { wallet, payers } = this.#options;
    let payer: NwcPayer | undefined;
    try {
      payer = new NwcPayer(url, payers);
      const { name, nodeKey, network, methods } = await payer.wallet();
      const { walletKey, relayUrls } = payer.connection;
      const problem = isOurs(wallet, [nodeKey, walletKey])
        ? reasonSentence('OWN_WALLET')
        : !methods.includes('pay_invoice')
          ? 'may not pay: the connection lacks pay_invoice'
          : networkProblem(network, wallet.network);
      const kept = { name, nodeKey, relayHosts: relayUrls.map((relay) => new URL(relay).host) };
      return { problem, wallet: kept, budget: budget ? await payer.budget() : null };
    } catch (error) {
      if (error instanceof NwcConnectionError) return { problem: error.message, wallet: null, budget: null };
      throw error;
    } finally {
      await payer?.close();
    }
  }

  async #unlessClosing<T>(work: Promise<T>): Promise<T | undefined> {
    const { signal } = this.#options;
    if (signal.aborted) return undefined;
    const over = new AbortController();
    const closing = new Promise<undefined>((resolve) =>
      signal.addEventListener('abort', () => resolve(undefined), { once: true, signal: over.signal }),
    );
    return Promise.race([work, closing]).finally(() => over.abort());
  }
}

function wordFor(answer: PayAnswer): WalletWord {
  switch (answer.kind) {
    case 'answered':
      return 'PAID';
    case 'unknown':
      return 'SILENT';
    case 'refused':
      return wordOf(answer.code);
  }
}

/** A node refuses to pay itself. */
function isOurs({ nodeId }: Pick<Wallet, 'nodeId'>, keys: readonly (string | null)[]): boolean {
  return keys.includes(nodeId);
}

/** Play money has invoices of regtest. */
function networkProblem(theirs: Network | null, ours: Network): string | null {
  const expected = ours === 'simulated' ? 'regtest' : ours;
  return theirs === null || theirs === expected ? null : `is on ${theirs}, and this gateway on ${ours}`;
}

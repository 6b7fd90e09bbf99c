import { randomBytes } from 'node:crypto';
import { NWCClient, NWCWalletService, NWCWalletServiceKeyPair, type Nip47Method } from '@getalby/sdk/nwc';

/** What the wallet does when it is asked to pay. */
export type Paying =
  /** Pays, and says so. */
  | 'pays'
  /** Pays, and says with this code that it did not. */
  | { paysAndSays: string }
  /** Pays, and never answers. */
  | 'paysSilently'
  /** Does not pay, and says with this code why. */
  | { says: string }
  /** Neither pays nor answers. */
  | 'silent'
  /** Says that it has paid, and has not. */
  | 'lies';

export interface NwcPayerServiceOptions {
  relayUrls: string[];
  /** Pays an invoice, wherever the money comes from. */
  pay: (invoice: string) => Promise<unknown>;
  methods?: readonly Nip47Method[];
  network?: string;
  /** Of the wallet's node. */
  pubkey?: string;
}

/** An owner's wallet behind Nostr Wallet Connect: the library's own wallet service over whatever pays. */
export interface NwcPayerService {
  /** The connection, with its secret. */
  readonly url: string;
  readonly secret: string;
  readonly walletPubkey: string;
  /** Under which it is asked. */
  readonly clientPubkey: string;
  /** The invoices that it was asked to pay, in order, each as often as it was. */
  readonly asked: readonly string[];
  does: Paying;
  /** What it answers first, once each. */
  readonly doesFirst: Paying[];
  budget: { used_budget: number; total_budget: number; renews_at?: number; renewal_period: 'daily' } | null;
  /** Resolves when it is asked to pay next. */
  nextAsked(): Promise<string>;
  close(): void;
}

const PAYER: readonly Nip47Method[] = ['get_info', 'pay_invoice', 'get_budget'];

export async function startNwcPayerService(options: NwcPayerServiceOptions): Promise<NwcPayerService> {
  const { relayUrls, pay, methods = PAYER, network = 'regtest', pubkey = `02${'ab'.repeat(32)}` } = options;
  const walletSecret = randomBytes(32).toString('hex');
  const clientSecret = randomBytes(32).toString('hex');
  const clientPubkey = new NWCClient({ relayUrls, walletPubkey: '0'.repeat(64), secret: clientSecret }).publicKey;
  const keys = new NWCWalletServiceKeyPair(walletSecret, clientPubkey);
  const service = new NWCWalletService({ relayUrls });
  const asked: string[] = [];
  let waiting: ((invoice: string) => void)[] = [];
  const silence = () => new Promise<never>(() => {});
  const refusal = (code: string) => ({ result: undefined, error: { code, message: 'the test says so' } });
  const receipt = () => ({ result: { preimage: randomBytes(32).toString('hex'), fees_paid: 0 }, error: undefined });

  const payInvoice = async (invoice: string) => {
    asked.push(invoice);
    const does = running.doesFirst.shift() ?? running.does;
    const pays = does === 'pays' || does === 'paysSilently' || (typeof does === 'object' && 'paysAndSays' in does);
    if (pays) await pay(invoice);
    for (const resolve of waiting.splice(0)) resolve(invoice);
    if (typeof does === 'object') return refusal('says' in does ? does.says : does.paysAndSays);
    return does === 'silent' || does === 'paysSilently' ? silence() : receipt();
  };

  const encrypt = service.encrypt.bind(service);
  // The library's service does not know `get_budget`, which Alby's own wallets answer.
  service.encrypt = (pair, content, encryption) => {
    const isBudget = (JSON.parse(content) as { result_type?: string }).result_type === 'get_budget';
    return encrypt(
      pair,
      isBudget && running.budget ? JSON.stringify({ result_type: 'get_budget', result: running.budget }) : content,
      encryption,
    );
  };
  await service.publishWalletServiceInfoEvent(walletSecret, [...methods] as never[], []);
  const unsubscribe = await service.subscribe(keys, {
    getInfo: async () => ({
      result: { alias: 'Test wallet', color: '', pubkey, network, block_height: 1, block_hash: '', methods: [...methods] as Nip47Method[] },
      error: undefined,
    }),
    payInvoice: ({ invoice }) => payInvoice(invoice),
  });

  const relays = relayUrls.map((url) => `relay=${encodeURIComponent(url)}`).join('&');
  const running: NwcPayerService = {
    url: `nostr+walletconnect://${keys.walletPubkey}?${relays}&secret=${clientSecret}`,
    secret: clientSecret,
    walletPubkey: keys.walletPubkey,
    clientPubkey,
    asked,
    does: 'pays',
    doesFirst: [],
    budget: null,
    nextAsked: () => new Promise((resolve) => (waiting = [...waiting, resolve])),
    close() {
      unsubscribe();
      service.pool.destroy();
    },
  };
  return running;
}

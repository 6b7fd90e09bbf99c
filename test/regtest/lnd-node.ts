import { execFile } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import { authenticatedLndGrpc, getWalletInfo, type AuthenticatedLnd } from 'lightning';
import { whenReady, type Btcd } from './btcd.ts';
import { freePorts, type Processes, type Program } from './processes.ts';

const run = promisify(execFile);

/** The calls that the gateway makes, as the operator's manual tells to bake a macaroon for them. */
const LEAST_POWER = ['AddInvoice', 'LookupInvoice', 'SubscribeInvoices', 'GetInfo', 'ListInvoices', 'ChannelBalance'].map(
  (call) => `uri:/lnrpc.Lightning/${call}`,
);
/** The same for withdrawals, on top. */
const PAYING_POWER = ['routerrpc.Router/SendPaymentV2', 'routerrpc.Router/TrackPaymentV2', 'lnrpc.Lightning/ListPayments'].map(
  (call) => `uri:/${call}`,
);

export interface LndNodeOptions {
  processes: Processes;
  bin: string;
  name: string;
}

/** One LND, on the same ports and files each time that it is started. */
export class LndNode {
  readonly #options: LndNodeOptions;
  readonly #directory: string;
  readonly #rpcPort: number;
  readonly #restPort: number;
  readonly #peerPort: number;
  #program: Program | undefined;
  #lnd: AuthenticatedLnd | undefined;
  #publicKey = '';

  static async create(options: LndNodeOptions): Promise<LndNode> {
    return new LndNode(options, await freePorts(3));
  }

  private constructor(options: LndNodeOptions, [rpcPort = 0, restPort = 0, peerPort = 0]: number[]) {
    this.#options = options;
    this.#directory = path.join(options.processes.directory, options.name);
    this.#rpcPort = rpcPort;
    this.#restPort = restPort;
    this.#peerPort = peerPort;
  }

  /** Starts it; resolves once it answers and is synced to the chain. */
  async start(btcd: Btcd): Promise<void> {
    const { processes, bin, name } = this.#options;
    const program = processes.start(name, path.join(bin, 'lnd'), [
      ...[`--lnddir=${this.#directory}`, `--alias=${name}`, '--bitcoin.regtest', '--bitcoin.defaultchanconfs=1', ...btcd.lndArguments],
      ...['--noseedbackup', '--nobootstrap', '--trickledelay=50', '--gossip.sub-batch-delay=5ms', '--minbackoff=200ms', '--maxbackoff=1s'],
      ...[`--rpclisten=${this.socket}`, `--restlisten=127.0.0.1:${this.#restPort}`, `--listen=127.0.0.1:${this.#peerPort}`],
    ]);
    this.#program = program;
    await whenReady(program, async () => {
      // It is there, empty, a moment before it is written.
      if (!existsSync(this.#macaroonFile) || readFileSync(this.#macaroonFile).length === 0) return false;
      const { is_synced_to_chain, public_key } = await getWalletInfo({ lnd: this.lnd });
      this.#publicKey = public_key;
      return is_synced_to_chain;
    });
  }

  get socket(): string {
    return `127.0.0.1:${this.#rpcPort}`;
  }

  /** For other nodes to connect to. */
  get peerAddress(): string {
    return `127.0.0.1:${this.#peerPort}`;
  }

  get publicKey(): string {
    return this.#publicKey;
  }

  /** With every permission, for what tests do to a node. */
  get lnd(): AuthenticatedLnd {
    this.#lnd ??= authenticatedLndGrpc({
      socket: this.socket,
      cert: this.cert.toString('base64'),
      macaroon: readFileSync(this.#macaroonFile).toString('base64'),
    }).lnd;
    return this.#lnd;
  }

  get cert(): Buffer {
    return readFileSync(path.join(this.#directory, 'tls.cert'));
  }

  /** A macaroon with the permissions that the gateway needs, with or without withdrawals, and no other. */
  async leastMacaroon({ pays = false }: { pays?: boolean } = {}): Promise<Buffer> {
    return this.bake(pays ? 'paying-gateway' : 'gateway', [...LEAST_POWER, ...(pays ? PAYING_POWER : [])]);
  }

  /** A macaroon with these permissions; the same name gives the same one again. */
  async bake(name: string, permissions: readonly string[]): Promise<Buffer> {
    const file = path.join(this.#directory, `${name}.macaroon`);
    if (!existsSync(file)) {
      const { bin } = this.#options;
      const rpc = [`--lnddir=${this.#directory}`, `--rpcserver=${this.socket}`, '--network=regtest'];
      await run(path.join(bin, 'lncli'), [...rpc, 'bakemacaroon', `--save_to=${file}`, ...permissions]);
    }
    return readFileSync(file);
  }

  async stop(): Promise<void> {
    await this.#program?.stop();
  }

  async kill(): Promise<void> {
    await this.#program?.kill();
  }

  freeze(): void {
    this.#program?.freeze();
  }

  thaw(): void {
    this.#program?.thaw();
  }

  get #macaroonFile(): string {
    return path.join(this.#directory, 'data/chain/bitcoin/regtest/admin.macaroon');
  }
}

import { Resolver } from 'node:dns/promises';
import { isIP, type LookupFunction, type Socket } from 'node:net';
import { Agent, buildConnector, WebSocket } from 'undici';
import { isAllowedAddress, type RelayRules } from './relay-address.ts';

/** The addresses of a host, as a name server tells them now. */
export type Resolve = (hostname: string) => Promise<string[]>;

export interface RelaySocketsOptions extends RelayRules {
  /** How long a connection may take to be made, at each of its steps. */
  deadlineMs?: number;
  resolve?: Resolve;
  /** Trusted in place of the system's authorities. */
  certificate?: string;
}

const DEADLINE_MS = 5_000;
/** Events are of some kilobytes; whoever sends more is no relay of a wallet's. */
const MOST_MESSAGE_BYTES = 256 * 1024;

/** The relay's host is none that a stranger may have us connect to. */
export class RelayAddressError extends Error {
  override name = 'RelayAddressError';
}

/**
 * WebSockets to relays that strangers chose. A host's addresses are checked when they have been resolved, and the connection goes to these
 * very addresses: a name that changes its mind between two questions gains nothing. Redirects are not followed.
 */
export class RelaySockets {
  readonly #options: RelaySocketsOptions;
  readonly #agent: Agent;
  readonly #resolve: Resolve;
  /** A relay that does not say goodbye would keep its connection for ever. */
  readonly #open = new Set<Socket>();

  constructor(options: RelaySocketsOptions) {
    this.#options = options;
    const { deadlineMs = DEADLINE_MS, resolve = publicNameServers(deadlineMs) } = options;
    this.#resolve = resolve;
    this.#agent = new Agent({
      connect: this.#connector(deadlineMs),
      headersTimeout: deadlineMs,
      webSocket: { maxPayloadSize: MOST_MESSAGE_BYTES },
    });
  }

  open(url: string): WebSocket {
    return new WebSocket(url, { dispatcher: this.#agent });
  }

  /** Rejects with RelayAddressError where a host has an address that is not allowed, or none. */
  async refuseHost(hostname: string): Promise<void> {
    await this.#addresses(hostname);
  }

  /** Ends what is open. */
  async close(): Promise<void> {
    for (const socket of this.#open) socket.destroy();
    await this.#agent.destroy();
  }

  #connector(timeout: number): buildConnector.connector {
    const { certificate: ca } = this.#options;
    const lookup: LookupFunction = (hostname, { all }, callback) => {
      this.#addresses(hostname).then(
        (addresses) => {
          const found = addresses.map((address) => ({ address, family: isIP(address) }));
          const [first] = found;
          if (all || !first) callback(null, found);
          else callback(null, first.address, first.family);
        },
        (error: Error) => callback(error, ''),
      );
    };
    const connect = buildConnector({ timeout, lookup, allowH2: false, ...(ca !== undefined && { ca }) });
    return (target, callback) => {
      const host = bareHost(target.hostname);
      // What is an address already is not looked up by anybody.
      if (isIP(host) && !isAllowedAddress(host, this.#options)) return callback(refusal(), null);
      connect(target, (error, socket) => {
        if (error) return callback(error, null);
        if (!isAllowedAddress(socket.remoteAddress ?? '', this.#options)) {
          socket.destroy();
          return callback(refusal(), null);
        }
        this.#open.add(socket.once('close', () => this.#open.delete(socket)));
        callback(null, socket);
      });
    };
  }

  /** Of several addresses, one that is not allowed is one too many: no relay has such ones. */
  async #addresses(hostname: string): Promise<string[]> {
    const host = bareHost(hostname);
    const addresses = isIP(host) ? [host] : await this.#resolve(host);
    if (addresses.length === 0 || addresses.some((address) => !isAllowedAddress(address, this.#options))) throw refusal();
    return addresses;
  }
}

function refusal(): RelayAddressError {
  return new RelayAddressError("the relay's host has no public address");
}

function bareHost(hostname: string): string {
  return hostname.replace(/^\[|\]$/g, '');
}

/** By the name servers alone, so that no name of this machine's own `hosts` counts, and none that is slow keeps a thread of the process. */
function publicNameServers(timeout: number): Resolve {
  return async (hostname) => {
    const resolver = new Resolver({ timeout, tries: 1 });
    const none = (): string[] => [];
    const found = await Promise.all([resolver.resolve4(hostname).catch(none), resolver.resolve6(hostname).catch(none)]);
    return found.flat();
  };
}

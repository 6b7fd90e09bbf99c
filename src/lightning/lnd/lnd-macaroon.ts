import type { Logger } from '../../log.ts';
import { READING_CALLS } from './lnd-books.ts';

/**
 * What LND's macaroons permit, read from the macaroon itself: that needs no permission, where asking LND would need one that the
 * gateway should not have. Formats: macaroon v2 binary (go-macaroon), and bakery's MacaroonId in it (version byte 3, then protobuf).
 */

const MACAROON_V2 = 2;
const IDENTIFIER_FIELD = 2;
const BAKERY_V3 = 3;
const OPS = 3;
const ENTITY = 1;
const ACTION = 2;
const BYTES_WIRE_TYPE = 2;

/** What the gateway calls, and the coarser permission that each is part of. */
const NEEDED: ReadonlyMap<string, string> = new Map([
  ['uri:/lnrpc.Lightning/AddInvoice', 'invoices:write'],
  ['uri:/lnrpc.Lightning/LookupInvoice', 'invoices:read'],
  ['uri:/lnrpc.Lightning/SubscribeInvoices', 'invoices:read'],
  ['uri:/lnrpc.Lightning/GetInfo', 'info:read'],
]);

export interface MacaroonPowers {
  /** Permissions beyond what the gateway calls, e.g. `offchain:write`. */
  excess: string[];
  /** Calls of the gateway's that it does not permit. */
  missing: string[];
}

/**
 * Compares what a macaroon permits (`uri:/lnrpc.Lightning/AddInvoice`, `offchain:write` …) with what the gateway needs. Reading the
 * node's lists is optional. Caveats, which can only take away, are not looked at. Undefined for bytes that are not a macaroon of LND's.
 * @param alsoNeeded more calls that the gateway makes, each with the coarser permission that it is part of.
 */
export function macaroonPowers(macaroon: Buffer, alsoNeeded: ReadonlyMap<string, string> = new Map()): MacaroonPowers | undefined {
  const permitted = permissionsOf(macaroon);
  if (!permitted) return undefined;
  const needed = new Map([...NEEDED, ...alsoNeeded]);
  return {
    excess: permitted.filter((permission) => !needed.has(permission) && !READING_CALLS.has(permission)),
    missing: [...needed].filter(([call, part]) => !permitted.includes(call) && !permitted.includes(part)).map(([call]) => call),
  };
}

/** Whether a macaroon permits a call of those that the gateway can do without; true where that cannot be read. */
export function permits(macaroon: Buffer, call: string): boolean {
  const permitted = permissionsOf(macaroon);
  return !permitted || permitted.includes(call) || permitted.includes(READING_CALLS.get(call) ?? '');
}

/** Tells the operator of a macaroon that permits more than the gateway needs, or less. */
export function warnOfPowers(macaroon: Buffer, log: Logger, alsoNeeded?: ReadonlyMap<string, string>): void {
  const powers = macaroonPowers(macaroon, alsoNeeded);
  if (!powers) log.warn('LND_MACAROON is not a macaroon of the kind that LND makes: what it permits is unknown');
  if (powers && powers.excess.length > 0) {
    log.warn({ permissions: powers.excess }, 'LND_MACAROON permits more than the gateway needs: whoever steals it can do all of this');
  }
  if (powers && powers.missing.length > 0) log.warn({ calls: powers.missing }, 'LND_MACAROON does not permit what the gateway needs');
}

function permissionsOf(macaroon: Buffer): string[] | undefined {
  try {
    const identifier = identifierOf(macaroon);
    if (identifier?.[0] !== BAKERY_V3) return undefined;
    return fieldsOf(identifier.subarray(1)).flatMap(({ number, bytes }) => (number === OPS ? permissionsOfOp(bytes) : []));
  } catch {
    return undefined;
  }
}

function permissionsOfOp(op: Buffer): string[] {
  const fields = fieldsOf(op);
  const entity = fields.find(({ number }) => number === ENTITY)?.bytes.toString() ?? '';
  return fields.filter(({ number }) => number === ACTION).map(({ bytes }) => `${entity}:${bytes.toString()}`);
}

/** After the version: fields of type, length and bytes, the location (1) before the identifier (2). */
function identifierOf(macaroon: Buffer): Buffer | undefined {
  if (macaroon[0] !== MACAROON_V2) return undefined;
  const reader = new Reader(macaroon.subarray(1));
  while (!reader.atEnd) {
    const type = reader.varint();
    const bytes = reader.bytes(reader.varint());
    if (type === IDENTIFIER_FIELD) return bytes;
  }
  return undefined;
}

/** The fields of a protobuf message, all of which are bytes here. */
function fieldsOf(message: Buffer): { number: number; bytes: Buffer }[] {
  const reader = new Reader(message);
  const fields: { number: number; bytes: Buffer }[] = [];
  while (!reader.atEnd) {
    const tag = reader.varint();
    if ((tag & 7) !== BYTES_WIRE_TYPE) throw new RangeError('not a field of bytes');
    fields.push({ number: tag >>> 3, bytes: reader.bytes(reader.varint()) });
  }
  return fields;
}

class Reader {
  readonly #buffer: Buffer;
  #at = 0;

  constructor(buffer: Buffer) {
    this.#buffer = buffer;
  }

  get atEnd(): boolean {
    return this.#at >= this.#buffer.length;
  }

  varint(): number {
    let value = 0;
    for (let shift = 0; shift < 28; shift += 7) {
      const byte = this.#buffer[this.#at++];
      if (byte === undefined) break;
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    throw new RangeError('not a varint');
  }

  bytes(length: number): Buffer {
    if (this.#at + length > this.#buffer.length) throw new RangeError('cut off');
    return this.#buffer.subarray(this.#at, (this.#at += length));
  }
}

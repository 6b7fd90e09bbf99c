const varint = (value: number) => Buffer.from(value < 128 ? [value] : [(value & 0x7f) | 0x80, value >> 7]);
const field = (tag: number, value: Buffer) => Buffer.concat([Buffer.from([tag]), varint(value.length), value]);

/** A macaroon v2 of LND's with these permissions, by entity: `{ uri: ['/lnrpc.Lightning/GetInfo'] }`. */
export function lndMacaroon(permissions: Record<string, string[]>): Buffer {
  const ops = Object.entries(permissions).map(([entity, actions]) =>
    field(0x1a, Buffer.concat([field(0x0a, Buffer.from(entity)), ...actions.map((action) => field(0x12, Buffer.from(action)))])),
  );
  const identifier = Buffer.concat([Buffer.from([3]), field(0x0a, Buffer.alloc(16, 1)), field(0x12, Buffer.from('0')), ...ops]);
  return Buffer.concat([
    Buffer.from([2]),
    field(1, Buffer.from('lnd')),
    field(2, identifier),
    Buffer.from([0, 0, 6, 32]),
    Buffer.alloc(32),
  ]);
}

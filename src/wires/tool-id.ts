/** What every wire takes as the id of a tool call. */
const PLAIN = /^[a-zA-Z0-9_-]+$/;
const PREFIX = 'pura_';

/**
 * The id of a tool call for a wire that takes only letters, digits, `_` and `-`. Two ids never become one, and an id always becomes the
 * same: one that is plain stays as it is, any other (Kimi's `functions.weather:0`) is packed.
 */
export function packToolId(id: string): string {
  return PLAIN.test(id) && !id.startsWith(PREFIX) ? id : PREFIX + Buffer.from(id).toString('base64url');
}

/** The id as its maker knows it: some models read theirs. */
export function unpackToolId(id: string): string {
  if (!id.startsWith(PREFIX)) return id;
  const unpacked = Buffer.from(id.slice(PREFIX.length), 'base64url').toString();
  return packToolId(unpacked) === id ? unpacked : id;
}

/** The least id of version 7 (RFC 9562) of a moment in Unix milliseconds: such ids are in the order of their time. */
export function idAt(ms: number): string {
  const hex = Math.floor(ms).toString(16).padStart(12, '0');
  return `${hex.slice(0, 8)}-${hex.slice(8)}-7000-8000-000000000000`;
}

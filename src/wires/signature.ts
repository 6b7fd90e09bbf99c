import type { Signature } from './generation.ts';
import type { WireName } from './wire.ts';

/** So that a signature of one wire can travel in a field of another's, and is known again when it comes back. */
const FOREIGN = /^pura:([a-z-]+):(.*)$/s;

/** A signature as text in a field of `surface`: as it is where it is that wire's own, marked where it is another's. */
export function signatureText({ wire, value }: Signature, surface: WireName): string {
  return wire === surface ? value : `pura:${wire}:${value}`;
}

/** The signature that such a text stands for. */
export function signatureFrom(text: string, surface: WireName): Signature {
  const [, wire, value] = FOREIGN.exec(text) ?? [];
  return wire !== undefined && value !== undefined ? { wire: wire as WireName, value } : { wire: surface, value: text };
}

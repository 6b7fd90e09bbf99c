import { createCipheriv, createDecipheriv } from 'node:crypto';
import { parse as parseUuid, stringify as uuidFrom } from 'uuid';
import type { RootSecret } from '../config/secret-keys.ts';
import { deriveKey } from '../secrets.ts';
import { handleInMetadata } from './address-metadata.ts';

/** The owner of an invoice: an account, or the key row that the payment will make. */
export type InvoiceOwner = { readonly accountId: string } | { readonly payerKeyId: string };

/** What a credit needs to know of an invoice that the database has lost. */
export interface SealedInvoice {
  readonly invoiceId: string;
  readonly owner: InvoiceOwner;
}

const NAME = 'Pura top-up';
const ACCOUNT = 1;
const PAYER_KEY = 2;
const ID_BYTES = 16;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
/** `root secret's id | invoice id | encrypted: kind, owner's id | tag`. */
const SEAL_BYTES = 1 + ID_BYTES + (1 + ID_BYTES) + TAG_BYTES;
const SEAL = / ([A-Za-z0-9_-]{67})$/;

/**
 * The description of an invoice, which its node keeps. People can read it, and a seal in it (AES-256-GCM)
 * holds what a credit needs, so that a payment can be credited even if the database has lost the invoice. At
 * most 110 characters, of the 639 bytes that BOLT 11 has room for.
 */
export function describeInvoice(
  [root]: readonly RootSecret[],
  { invoiceId, owner, amountSat }: SealedInvoice & { amountSat: number },
): string {
  if (!root) throw new RangeError('no root secret');
  const id = Buffer.from(parseUuid(invoiceId));
  const [kind, ownerId] = 'accountId' in owner ? [ACCOUNT, owner.accountId] : [PAYER_KEY, owner.payerKeyId];
  // An invoice has one owner and a random id of its own, so that no two texts share a nonce.
  const cipher = createCipheriv('aes-256-gcm', deriveKey(root, 'seal'), id.subarray(-NONCE_BYTES)).setAAD(aadOf(Number(root.id), id));
  const sealed = Buffer.concat([cipher.update(Buffer.from([kind, ...parseUuid(ownerId)])), cipher.final()]);
  const seal = Buffer.concat([Buffer.from([Number(root.id)]), id, sealed, cipher.getAuthTag()]);
  return `${NAME}: ${amountSat} sats ${seal.toString('base64url')}`;
}

/** Whether an invoice's description claims that the invoice is ours. The claim is not checked. */
export function isUnderOurName(description: string | undefined | null): boolean {
  return description?.startsWith(NAME) || handleInMetadata(description ?? '') !== undefined;
}

/** What the seal in a description says. Null if there is no seal, or none that one of our secrets made. */
export function readSeal(roots: readonly RootSecret[], description: string): SealedInvoice | null {
  const seal = Buffer.from(SEAL.exec(description)?.[1] ?? '', 'base64url');
  const root = roots.find(({ id }) => Number(id) === seal[0]);
  if (seal.length !== SEAL_BYTES || !root) return null;
  const id = seal.subarray(1, 1 + ID_BYTES);
  const opening = createDecipheriv('aes-256-gcm', deriveKey(root, 'seal'), id.subarray(-NONCE_BYTES), { authTagLength: TAG_BYTES });
  opening.setAAD(aadOf(Number(root.id), id)).setAuthTag(seal.subarray(-TAG_BYTES));
  try {
    const opened = Buffer.concat([opening.update(seal.subarray(1 + ID_BYTES, -TAG_BYTES)), opening.final()]);
    const ownerId = uuidFrom(opened.subarray(1));
    const owner = opened[0] === ACCOUNT ? { accountId: ownerId } : { payerKeyId: ownerId };
    return { invoiceId: uuidFrom(id), owner };
  } catch {
    return null;
  }
}

function aadOf(rootId: number, invoiceId: Buffer): Buffer {
  return Buffer.from([rootId, ...invoiceId]);
}

import { statfs } from 'node:fs/promises';
import { connect } from 'node:tls';
import type { LndProbe, LndProbeOptions } from '../lightning/lnd/lnd-probe.ts';
import type { NwcProbe } from '../lightning/nwc/nwc-probe.ts';
import { fetchBtcUsd, type RateSource } from '../pricing/rate-sources.ts';

/** What is outside of the gateway's configuration and database. */
export interface World {
  /** The time by this machine, in Unix milliseconds. */
  now(): number;
  fetch(url: string, init: { headers?: Record<string, string> }): Promise<Answer>;
  /** When the certificate of a server ends, and why it is not trusted, where it is not. */
  certificateOf(url: URL): Promise<Certificate>;
  priceOf(source: RateSource): Promise<number>;
  lnd(options: LndProbeOptions): Promise<LndProbe>;
  nwc(url: string): Promise<NwcProbe>;
  disk(directory: string): Promise<{ freeBytes: number; totalBytes: number }>;
  /** Files and sockets that a process started from here may have open; null where that is not limited or not known. */
  openFiles(): number | null;
  nodeVersion: string;
}

export interface Answer {
  readonly status: number;
  /** By the server's clock, in Unix milliseconds; null where the server does not say. */
  readonly date: number | null;
  readonly text: string;
}

export interface Certificate {
  readonly validTo: Date;
  readonly distrust: string | null;
}

const TIMEOUT_MS = 8_000;
const MOST_CHARACTERS = 4_000;

/** The real one. Every call has its own deadline. */
export const WORLD: World = {
  now: () => Date.now(),
  async fetch(url, { headers = {} }) {
    const answer = await fetch(url, { headers, redirect: 'manual', signal: AbortSignal.timeout(TIMEOUT_MS) });
    const date = Date.parse(answer.headers.get('date') ?? '');
    const text = (await answer.text()).slice(0, MOST_CHARACTERS);
    return { status: answer.status, date: Number.isNaN(date) ? null : date, text };
  },
  certificateOf,
  priceOf: (source) => fetchBtcUsd(source),
  // Loaded where they are used: LND's library alone takes most of a second.
  lnd: async (options) => (await import('../lightning/lnd/lnd-probe.ts')).probeLnd(options),
  nwc: async (url) => (await import('../lightning/nwc/nwc-probe.ts')).probeNwc(url),
  async disk(directory) {
    const { bavail, blocks, bsize } = await statfs(directory);
    return { freeBytes: bavail * bsize, totalBytes: blocks * bsize };
  },
  openFiles() {
    const limits = (process.report.getReport() as unknown as { userLimits?: { open_files?: { hard?: number | string } } }).userLimits;
    const hard = limits?.open_files?.hard;
    // The program raises the soft limit to the hard one by itself.
    return typeof hard === 'number' ? hard : null;
  },
  nodeVersion: process.versions.node,
};

function certificateOf({ hostname, port }: URL): Promise<Certificate> {
  return new Promise((resolve, reject) => {
    const host = hostname.replace(/[[\]]/g, '');
    // Looked at whether it is trusted or not: nothing is sent.
    const socket = connect({ host, port: Number(port || 443), servername: host, rejectUnauthorized: false, timeout: TIMEOUT_MS });
    socket.once('secureConnect', () => {
      const { valid_to: validTo } = socket.getPeerCertificate();
      const distrust = socket.authorized ? null : String(socket.authorizationError);
      socket.destroy();
      resolve({ validTo: new Date(validTo), distrust });
    });
    socket.once('timeout', () => socket.destroy(new Error('no answer to the TLS handshake')));
    socket.once('error', reject);
  });
}

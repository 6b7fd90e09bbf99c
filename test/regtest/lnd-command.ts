import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { TestDatabase } from '../support/database.ts';
import { TEST_ROOT } from '../support/funded.ts';
import type { LndNode } from './lnd-node.ts';

/** A gateway's configuration for a node, withdrawals included. */
export async function envOf(node: LndNode): Promise<Record<string, string>> {
  const macaroon = await node.leastMacaroon({ pays: true });
  return { LND_SOCKET: node.socket, LND_MACAROON: macaroon.toString('hex'), LND_CERT: node.cert.toString('base64'), WITHDRAWALS: 'true' };
}

/** A command of the project's on a database and a node; gives its exit code and what it said. */
export async function runCommand(
  name: 'audit' | 'reconcile',
  args: string[],
  on: Pick<TestDatabase, 'connectionString'>,
  node: LndNode,
): Promise<{ code: number; out: string }> {
  const env = {
    ...{ DATABASE_URL: on.connectionString, SECRET_KEY: `${TEST_ROOT.id}:${TEST_ROOT.secret.toString('hex')}` },
    ...(await envOf(node)),
  };
  const script = fileURLToPath(new URL(`../../src/${name}.ts`, import.meta.url));
  return new Promise((resolve) => {
    execFile(process.execPath, [script, ...args], { env }, (error, out, err) => {
      resolve({ code: error ? Number(error.code) : 0, out: out + err });
    });
  });
}

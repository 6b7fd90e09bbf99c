import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { Response } from 'express';

/** Streams a file of CSV as it is read, no faster than its reader takes it. One that leaves ends the reading. */
export async function sendCsv(res: Response, name: string, lines: AsyncIterable<string>): Promise<void> {
  res.set({
    'Content-Type': 'text/csv; charset=utf-8',
    'Content-Disposition': `attachment; filename="${name}"`,
    'Cache-Control': 'no-store',
    'X-Content-Type-Options': 'nosniff',
  });
  try {
    await pipeline(Readable.from(lines), res);
  } catch (error) {
    // Cut off in the middle, by its reader or by the database: a file that only looks whole would be worse.
    if (res.headersSent) res.destroy();
    else throw error;
  }
}

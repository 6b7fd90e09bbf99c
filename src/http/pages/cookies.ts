import type { Request, Response } from 'express';
import type { Config } from '../../config/config.ts';
import { originOf } from '../server/origin.ts';

/** What decides whether cookies are for https only. */
export type CookieConfig = Pick<Config, 'PUBLIC_URL'>;

/** Adds a cookie to the answer: `HttpOnly`, `SameSite=Strict`, for the whole site, and on https `Secure` and bound to the very host. */
export function writeCookie(
  req: Request,
  res: Response,
  config: CookieConfig,
  { name, value, maxAgeSeconds }: { name: string; value: string; maxAgeSeconds: number },
): void {
  const secure = isSecure(req, config);
  const parts = [`${prefixed(name, secure)}=${value}`, 'Path=/', 'HttpOnly', 'SameSite=Strict', `Max-Age=${maxAgeSeconds}`];
  res.append('Set-Cookie', [...parts, ...(secure ? ['Secure'] : [])].join('; '));
}

/** A cookie that `writeCookie` set. */
export function readCookie(req: Request, config: CookieConfig, name: string): string | undefined {
  const wanted = prefixed(name, isSecure(req, config));
  for (const pair of (req.headers.cookie ?? '').split(';')) {
    const [found, value] = pair.trim().split('=', 2);
    if (found === wanted) return value;
  }
  return undefined;
}

function prefixed(name: string, secure: boolean): string {
  return secure ? `__Host-${name}` : name;
}

function isSecure(req: Request, { PUBLIC_URL }: CookieConfig): boolean {
  return originOf(req, PUBLIC_URL).startsWith('https:');
}

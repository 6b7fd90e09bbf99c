import { randomBytes } from 'node:crypto';
import type { Request, RequestHandler, Response } from 'express';
import { CODE_SECONDS, newcomer, type CodeAsker, type SignInAction, type WalletSignIns } from '../../accounts/wallet-sign-ins.ts';
import type { Config } from '../../config/config.ts';
import { GatewayError } from '../../errors.ts';
import type { Network } from '../../lightning/wallet.ts';
import { lnurlObstacle } from '../../lnurl/lnurl-obstacle.ts';
import { encodeLnurl, lnurlLink } from '../../lnurl/lnurl-url.ts';
import { WindowLimit } from '../../window-limit.ts';
import { qrSvg } from '../pages/qr-codes.ts';
import { sharesOf } from '../server/client-address.ts';
import { clientOf } from '../server/forwarded.ts';
import { LiveEvents } from '../server/live-events.ts';
import { originOf } from '../server/origin.ts';
import { readCookie, writeCookie } from '../pages/cookies.ts';
import { networkOf } from '../server/sender-network.ts';

export interface WalletCodesDeps {
  signIns: WalletSignIns;
  config: Pick<Config, 'PUBLIC_URL'>;
  wallet: { readonly network: Network };
}

/** A code on a page, for `views/console/code.eta`. */
export interface ShownCode {
  readonly action: SignInAction;
  readonly svg: string;
  /** bech32, and the link that opens a wallet on the same device. */
  readonly lnurl: string;
  readonly keyauth: string;
  readonly minutes: number;
}

const COOKIE = 'pura_browser';
const BROWSER = /^[\w-]{43}$/;
const COOKIE_SECONDS = 3600;
const HOUR_MS = 3_600_000;
const CODES_AN_HOUR = 60;
const LIMITS = { most: 500, mostEach: 5, longestMs: CODE_SECONDS * 1000 };

/** The codes that the console's pages show for wallets to sign (LUD-04), each bound to the browser that shows it. */
export class WalletCodes {
  readonly #deps: WalletCodesDeps;
  readonly #shown = new WindowLimit({ points: CODES_AN_HOUR, windowMs: HOUR_MS });
  readonly #live = new LiveEvents(LIMITS);

  constructor(deps: WalletCodesDeps) {
    this.#deps = deps;
  }

  /** Why there are no codes under the address of this request; null where there are. */
  obstacle(req: Request): string | null {
    return lnurlObstacle(this.#origin(req), this.#deps.wallet.network);
  }

  /** The domain that wallets derive their keys from. */
  hostOf(req: Request): string {
    return new URL(this.#origin(req)).hostname;
  }

  /** The secret of the request's browser; empty where it has shown no code. */
  browserOf(req: Request): string {
    const found = readCookie(req, this.#deps.config, COOKIE) ?? '';
    return BROWSER.test(found) ? found : '';
  }

  /** A new code to confirm by for a browser without a session. Throws as `show` does. */
  showNewcomer(req: Request, res: Response): Promise<ShownCode> {
    return this.show(req, res, 'auth', newcomer(this.browserOf(req)));
  }

  /** A new code for this browser. Throws `not_permitted` where there are none, `rate_limit_exceeded` for an address or a browser that asks for many. */
  async show(req: Request, res: Response, action: SignInAction, session?: CodeAsker): Promise<ShownCode> {
    const obstacle = this.obstacle(req);
    if (obstacle !== null) throw new GatewayError('not_permitted', { message: obstacle });
    const retryAfter = this.#shown.take(sharesOf(clientOf(req)));
    if (retryAfter > 0) {
      throw new GatewayError('rate_limit_exceeded', {
        message: `Rate limit exceeded: ${CODES_AN_HOUR} codes an hour from one address`,
        retryAfter,
      });
    }
    const browser = this.browserOf(req) || randomBytes(32).toString('base64url');
    const k1 = await this.#deps.signIns.show({ action, browser, network: networkOf(req), session });
    writeCookie(req, res, this.#deps.config, { name: COOKIE, value: browser, maxAgeSeconds: COOKIE_SECONDS });
    const url = `${this.#origin(req)}/lnurl/auth?tag=login&k1=${k1.toString('hex')}&action=${action}`;
    const lnurl = encodeLnurl(url);
    return { action, svg: await qrSvg(`LIGHTNING:${lnurl}`), lnurl, keyauth: lnurlLink('keyauth', url), minutes: CODE_SECONDS / 60 };
  }

  /** A server-sent `signed` event, once a wallet has signed a code of this browser for `?action=`. */
  readonly events: RequestHandler = async (req, res) => {
    const browser = this.browserOf(req);
    const { action } = req.query;
    if (browser === '' || (action !== 'login' && action !== 'link' && action !== 'auth')) throw new GatewayError('not_found');
    // Anybody can make cookies up: what may wait is limited by the codes that an address may have shown.
    if (!(await this.#deps.signIns.isShown({ browser, action }))) throw new GatewayError('not_found');
    const { signIns } = this.#deps;
    await this.#live.stream(req, res, {
      name: browser,
      subscribe: (listener) => signIns.subscribe(browser, listener),
      look: async () => {
        const isSigned = await signIns.isSigned({ browser, action });
        return { events: isSigned ? [{ name: 'signed', data: {} }] : [], isLast: isSigned };
      },
    });
  };

  #origin(req: Request): string {
    return originOf(req, this.#deps.config.PUBLIC_URL);
  }
}

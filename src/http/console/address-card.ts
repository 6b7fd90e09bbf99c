import type { Request, RequestHandler, Response } from 'express';
import { z } from 'zod';
import { GatewayError } from '../../errors.ts';
import type { LightningAddresses } from '../../lnurl/lightning-addresses.ts';
import { formFields } from '../pages/form.ts';
import type { Pages } from '../pages/pages.ts';
import { qrSvg } from '../pages/qr-codes.ts';
import { originOf } from '../server/origin.ts';
import type { ConsoleFrame } from './console-frame.ts';
import { sessionOf } from './signed-in.ts';

export interface AddressCardDeps {
  addresses: Pick<LightningAddresses, 'addressOf' | 'changeHandle'>;
  frame: ConsoleFrame;
  pages: Pages;
  config: { PUBLIC_URL?: string | undefined };
}

const PAGE = '/console/wallets';

export const handleFields = z.object({ handle: z.string().trim().toLowerCase().max(100) });

/** The Lightning Address of an account on the Wallets page: shown, changed, and as a poster to print. */
export function addressCard(deps: AddressCardDeps) {
  const { addresses, frame, pages, config } = deps;
  const read = (req: Request, res: Response) => addresses.addressOf(sessionOf(res).accountId, originOf(req, config.PUBLIC_URL));
  const change: RequestHandler = async (req, res) => {
    const { handle } = formFields(req, handleFields);
    try {
      await addresses.changeHandle(sessionOf(res).key, handle);
    } catch (error) {
      if (!(error instanceof GatewayError && error.status < 500 && error.code !== 'invalid_api_key')) throw error;
      const data = { handle, problem: error.message, address: await read(req, res) };
      return frame.send(res, 'console/handle', { title: 'Change the address', section: PAGE, status: 400 }, data);
    }
    res.set('Cache-Control', 'no-store').redirect(303, `${PAGE}?done=address`);
  };
  const ask: RequestHandler = async (req, res) => {
    const address = await read(req, res);
    const data = { handle: address.handle, problem: null, address };
    await frame.send(res, 'console/handle', { title: 'Change the address', section: PAGE }, data);
  };
  const poster: RequestHandler = async (req, res) => {
    const address = await read(req, res);
    if (address.off !== null) throw new GatewayError('not_permitted', { message: address.off });
    pages.send(res, 'console/poster', { title: `Pay ${address.address}` }, { address, svg: await qrSvg(`LIGHTNING:${address.lnurl}`) });
  };
  return { read, change, ask, poster };
}

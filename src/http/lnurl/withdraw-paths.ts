import { GatewayError } from '../../errors.ts';
import type { Lnurl } from '../../lnurl/open-lnurl.ts';
import { parameterOf, type LnurlPath } from './lnurl-answers.ts';

/** What the wallet asks for that has scanned a code to withdraw by: what may be taken, and to have its invoice paid. */
export function withdrawPaths(deps: { lnurl: Pick<Lnurl, 'withdrawCodes'> }): Record<'withdrawRequest' | 'pay', LnurlPath> {
  return {
    withdrawRequest: (req, origin) => deps.lnurl.withdrawCodes.withdrawRequest(parameterOf(req, 'k1') ?? '', origin),

    async pay(req) {
      const pr = parameterOf(req, 'pr');
      if (pr === undefined)
        throw new GatewayError('invalid_request', { message: 'There is no invoice to pay: pr is missing.', param: 'pr' });
      await deps.lnurl.withdrawCodes.pay(parameterOf(req, 'k1') ?? '', pr);
      return { status: 'OK' };
    },
  };
}

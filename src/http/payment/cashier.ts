import type { Request } from 'express';
import type { ApiKey } from '../../accounts/api-key.ts';
import { admit, FundsNeededError, priceUnpaid, type Admitted } from '../../admission/admit.ts';
import { FreeShares, type FreeTicket } from '../../admission/free-shares.ts';
import type { RateLimit } from '../../admission/rate-limit.ts';
import { picoUsd } from '../../amount.ts';
import type { Autopay } from '../../autopay/autopay.ts';
import type { Plan } from '../../completions/call.ts';
import type { Config } from '../../config/config.ts';
import { GatewayError } from '../../errors.ts';
import type { Holds } from '../../ledger/holds.ts';
import { costBound } from '../../metering/quote.ts';
import type { Repeatable } from '../../records/stored-answer.ts';
import { networksOf } from './entrance.ts';
import type { Incoming } from './incoming.ts';
import type { Unpaid } from './payers.ts';
import type { PaymentOffers } from './payment-offers.ts';

export interface CashierDeps {
  config: Pick<Config, 'FREE_TIER_GLOBAL_DAILY_USD' | 'FREE_TIER_MAX_COST_USD' | 'TRUSTED_PROXIES'>;
  rateLimit: RateLimit;
  holds: Holds;
  offers: PaymentOffers;
  autopay: Pick<Autopay, 'help'>;
}

type Admission = Admitted & { free: FreeTicket | null };

/** Takes what a planned request needs before it may be carried out, or asks for the money. */
export class Cashier {
  readonly #deps: CashierDeps;
  readonly #freeShares: FreeShares;

  constructor(deps: CashierDeps) {
    this.#deps = deps;
    const { FREE_TIER_GLOBAL_DAILY_USD: dayPicoUsd, FREE_TIER_MAX_COST_USD: requestPicoUsd } = deps.config;
    this.#freeShares = new FreeShares({ dayPicoUsd, requestPicoUsd });
  }

  /**
   * Resolves once the request's hold is committed. Rejects as `admit` does, and with a 402 where money is missing: at once, or after a
   * moment where the account's own wallet is topping it up. Nothing is held meanwhile.
   */
  async admit(req: Request, incoming: Incoming, apiKey: ApiKey, plan: Plan, repeatable: Repeatable | null): Promise<Admission> {
    const { rateLimit, offers, autopay } = this.#deps;
    const attempt = () => this.#admitOnce(req, incoming, apiKey, plan, repeatable);
    try {
      return await attempt().catch(async (error: unknown) => {
        if (!(error instanceof FundsNeededError) || !(await autopay.help(apiKey.accountId, error))) throw error;
        // It is still one request.
        rateLimit.cancel(error.ticket);
        return attempt();
      });
    } catch (error) {
      if (!(error instanceof FundsNeededError)) throw error;
      const { code, reason, shortfallMsat, ticket } = error;
      const terms = { code, reason, shortfallMsat, topupSats: incoming.options.topupSats, headers: ticket.headers };
      throw await offers.refuse(req, { key: apiKey }, terms);
    }
  }

  async #admitOnce(
    req: Request,
    { requestId, request, picoUsdPerMsat }: Incoming,
    apiKey: ApiKey,
    { candidates, quote, maxCostPicoUsd, own }: Plan,
    repeatable: Repeatable | null,
  ): Promise<Admission> {
    const { rateLimit, holds, config } = this.#deps;
    const priceVersion = candidates[0]?.deployment.rateCard.priceVersion ?? 0;
    // What is done under the caller's own provider key is nobody's gift.
    const most = own ? picoUsd(0n) : costBound(quote, quote.mostTokens);
    const free = this.#freeShares.reserve(networksOf(req, config), most);
    try {
      const admitted = await admit(
        { rateLimit, holds, freeMaxPicoUsd: free.maxPicoUsd, aboveFreeMax: free.isShort ? 'daily_ceiling' : 'too_costly' },
        {
          ...{ requestId, apiKey, quote, priceVersion, picoUsdPerMsat, maxCostPicoUsd, feeMsat: own?.feeMsat },
          ...{ completions: request.completions, stream: request.stream, idempotency: repeatable?.idempotency },
        },
      );
      const isFree = admitted.hold.funding === 'free';
      free.correct(isFree ? admitted.hold.costPicoUsd : picoUsd(0n));
      return { ...admitted, free: isFree ? free : null };
    } catch (error) {
      free.correct(picoUsd(0n));
      throw error;
    }
  }

  /** The 402 of a request that nobody has paid for yet: priced like any other, so that what is paid for it covers it. */
  async askToPay(
    req: Request,
    { request, options, picoUsdPerMsat }: Incoming,
    payer: Unpaid | null,
    { quote, maxCostPicoUsd, own }: Plan,
  ): Promise<GatewayError> {
    const { rateLimit, offers } = this.#deps;
    const limited = payer && (payer.key ?? { id: payer.grant.keyId, accountId: payer.grant.keyId, rateLimitRpm: null, rateLimitTpm: null });
    const { completions } = request;
    // There is nothing to pay for, but the fee and the limits are an account's.
    if (own?.feeMsat === 0n)
      return new GatewayError('invalid_api_key', { message: 'X-Provider-Key needs an API key of this gateway beside it.' });
    const feeMsat = own?.feeMsat;
    const terms = priceUnpaid(rateLimit, { apiKey: limited, quote, completions, picoUsdPerMsat, maxCostPicoUsd, feeMsat });
    return offers.refuse(req, payer, { ...terms, topupSats: options.topupSats });
  }
}

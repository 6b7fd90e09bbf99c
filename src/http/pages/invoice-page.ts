import type { Request, RequestHandler, Response } from 'express';
import { Eta } from 'eta';
import { GatewayError } from '../../errors.ts';
import type { Funding } from '../../funding.ts';
import { msatFromSats, picoUsdFromMsat, satsFromMsat, usdNumber } from '../../amount.ts';
import type { Invoice } from '../../invoices/invoice.ts';
import type { SimulatedWallet } from '../../lightning/simulated/simulated.ts';
import type { ExchangeRate } from '../../pricing/exchange-rate.ts';
import { VIEWS_DIR, type Assets } from './assets.ts';
import { InvoiceEvents } from './invoice-events.ts';
import { refuseForwarded, refuseOtherSites, type OwnSiteConfig } from '../server/own-site.ts';
import { pageHeaders } from './page-headers.ts';
import { QrCodes } from './qr-codes.ts';

export interface InvoicePageDeps {
  funding: Funding;
  exchangeRate: ExchangeRate;
  assets: Assets;
  config: OwnSiteConfig;
  /** In simulated mode: lets the page pay its own invoice with play money. */
  simulated: SimulatedWallet | null;
}

/** Nothing from anywhere else, nothing inline, no frame around it. */
const CONTENT_SECURITY_POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
const HEADERS = pageHeaders(CONTENT_SECURITY_POLICY);
/** Of the 256-colour cube, which no terminal's theme changes. */
const BLACK_ON_WHITE = '\u001b[38;5;16;48;5;231m';
const RESET = '\u001b[0m';

const wholeNumber = new Intl.NumberFormat('en-US');

/** The handlers of the hosted invoice page. Who knows an invoice's unguessable id sees the payment, and nothing of the account. */
export function invoicePageHandlers(deps: InvoicePageDeps): Record<'page' | 'events' | 'svg' | 'png' | 'text' | 'pay', RequestHandler> {
  const { funding, simulated, config } = deps;
  const eta = new Eta({ views: VIEWS_DIR, cache: true });
  const events = new InvoiceEvents(funding);
  const codes = new QrCodes();

  return {
    async page(req, res) {
      res.set(HEADERS);
      try {
        const invoice = await funding.statusOfPage(idOf(req));
        res
          .type('html')
          .send(eta.render('./invoice', { ...(await pageData(invoice, deps, codes)), fromConsole: req.query['from'] === 'console' }));
      } catch (error) {
        if (!(error instanceof GatewayError && error.code === 'invoice_not_found')) throw error;
        res
          .status(404)
          .type('html')
          .send(eta.render('./not-found', { assets: deps.assets, title: 'No such invoice' }));
      }
    },

    async events(req, res) {
      res.set(HEADERS);
      await events.stream(req, res);
    },

    async svg(req, res) {
      const code = await codes.svg(await codedInvoice(req, res));
      res.type('image/svg+xml').send(code);
    },

    async png(req, res) {
      const code = await codes.png(await codedInvoice(req, res));
      res.type('image/png').send(code);
    },

    /** The code for a terminal, in colours of its own, so that it can be read from a dark one too. */
    async text(req, res) {
      const code = await codes.text(await codedInvoice(req, res));
      const lines = code.split('\n').map((line) => `${BLACK_ON_WHITE}${line}${RESET}\n`);
      res.type('text/plain').send(lines.join(''));
    },

    /** The page's own "Pay (simulated)": a plain form, so that it works without scripts. */
    async pay(req, res) {
      if (!simulated) throw new GatewayError('not_found');
      // Whoever serves play money to others on purpose may well do so through a proxy.
      if (!config.ALLOW_SIMULATED) refuseForwarded(req);
      refuseOtherSites(req, config);
      const invoice = await funding.statusOfPage(idOf(req));
      // Paid meanwhile, or expired: the page says so.
      if (invoice.status === 'pending') await simulated.pay(invoice.bolt11).catch(ignoreRefusal);
      await funding.statusOfPage(invoice.id);
      res.set(HEADERS).redirect(303, `/invoice/${invoice.id}${req.query['from'] === 'console' ? '?from=console' : ''}`);
    },
  };

  async function codedInvoice(req: Request, res: Response): Promise<Invoice> {
    const invoice = await funding.peek(idOf(req));
    if (!invoice) throw new GatewayError('invoice_not_found');
    res.set(HEADERS);
    return invoice;
  }
}

function idOf(req: Request): string {
  return String(req.params['id']);
}

function ignoreRefusal(error: unknown): void {
  if (!(error instanceof GatewayError && error.code === 'invalid_request')) throw error;
}

async function pageData(invoice: Invoice, { exchangeRate, assets, simulated }: InvoicePageDeps, codes: QrCodes) {
  const { status, amountSat, receivedMsat, expiresAt, bolt11, id } = invoice;
  const secondsLeft = Math.max(0, Math.ceil((expiresAt.getTime() - Date.now()) / 1000));
  return {
    assets,
    id,
    status,
    bolt11,
    title: {
      pending: `Pay ${wholeNumber.format(amountSat)} sats`,
      paid: 'Paid ✓',
      expired: 'Invoice expired',
      canceled: 'Invoice canceled',
    }[status],
    amount: wholeNumber.format(amountSat),
    usd: usdText(amountSat, exchangeRate),
    received: receivedMsat === null ? null : wholeNumber.format(satsFromMsat(receivedMsat)),
    paymentHash: invoice.paymentHash.toString('hex'),
    secondsLeft,
    // Loud in the last quarter alone: a clock that runs makes nervous.
    lastSeconds: Math.round((expiresAt.getTime() - invoice.createdAt.getTime()) / 4000),
    timeLeft: `${Math.floor(secondsLeft / 60)}:${String(secondsLeft % 60).padStart(2, '0')}`,
    expiresAt: expiresAt.toISOString(),
    simulated: simulated !== null,
    qrSvg: await codes.svg(invoice),
  };
}

/** What the amount is worth, as far as a rate is known now. */
function usdText(amountSat: number, exchangeRate: ExchangeRate): string | null {
  try {
    const usd = usdNumber(picoUsdFromMsat(msatFromSats(amountSat), exchangeRate.current()));
    const format = new Intl.NumberFormat('en-US', { style: 'currency', currency: 'USD', maximumFractionDigits: usd < 1 ? 4 : 2 });
    return `≈ ${format.format(usd)}${exchangeRate.source === 'simulated' ? ' at a made-up rate' : ''}`;
  } catch {
    return null;
  }
}

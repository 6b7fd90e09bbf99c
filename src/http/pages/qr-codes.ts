import qrcode from 'qrcode';
import type { Invoice } from '../../invoices/invoice.ts';

/** Low correction makes large modules, which a phone reads best from a screen; the margin is the standard's quiet zone. */
const QR = { errorCorrectionLevel: 'L', margin: 4 } as const;
const PNG_WIDTH = 720;
const MOST_KEPT = 500;

type Drawn = string | Buffer;

/**
 * The codes of invoices, each drawn once: a drawing takes some ten milliseconds of the only thread, and anybody with an invoice's id may ask
 * for it. The ones that were asked for longest ago leave first.
 */
export class QrCodes {
  readonly #kept = new Map<string, Promise<Drawn>>();
  readonly #draw: Pick<typeof qrcode, 'toString' | 'toBuffer'>;

  constructor(draw: Pick<typeof qrcode, 'toString' | 'toBuffer'> = qrcode) {
    this.#draw = draw;
  }

  /** Drawings kept now. */
  get kept(): number {
    return this.#kept.size;
  }

  svg(invoice: Pick<Invoice, 'id' | 'bolt11'>): Promise<string> {
    return this.#once(`svg ${invoice.id}`, () => this.#draw.toString(payload(invoice), { ...QR, type: 'svg' }));
  }

  png(invoice: Pick<Invoice, 'id' | 'bolt11'>): Promise<Buffer> {
    return this.#once(`png ${invoice.id}`, () => this.#draw.toBuffer(payload(invoice), { ...QR, width: PNG_WIDTH }));
  }

  /** For a terminal, without its colours. */
  text(invoice: Pick<Invoice, 'id' | 'bolt11'>): Promise<string> {
    return this.#once(`text ${invoice.id}`, () => this.#draw.toString(payload(invoice), { ...QR, type: 'utf8' }));
  }

  #once<T extends Drawn>(name: string, draw: () => Promise<T>): Promise<T> {
    const drawn = (this.#kept.get(name) as Promise<T> | undefined) ?? draw();
    this.#kept.delete(name);
    this.#kept.set(name, drawn);
    drawn.catch(() => this.#kept.delete(name));
    for (const oldest of this.#kept.keys()) {
      if (this.#kept.size <= MOST_KEPT) break;
      this.#kept.delete(oldest);
    }
    return drawn;
  }
}

/** In capitals, which a QR code holds in little more than half the space. */
function payload({ bolt11 }: Pick<Invoice, 'bolt11'>): string {
  return `LIGHTNING:${bolt11.toUpperCase()}`;
}

/** Any text as a code, drawn each time: for what is shown once, such as a code that lets money out. */
export function qrSvg(text: string): Promise<string> {
  return qrcode.toString(text, { ...QR, type: 'svg' });
}
